import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {ErrorDocument} from '../../src/cli/output/report.js';
import Export, {type ExportDocument} from '../../src/commands/export.js';
import {FORMAT_NAMES, FORMATS} from '../../src/export/formats.js';
import {MARK_WITHIN} from '../../src/export/format.js';
import {exported} from '../export/exported.js';
import {GPU} from '../export/machines.js';
import {machine} from '../support/machine.js';
import {needs} from '../support/needs.js';
import {run, start} from '../support/run.js';
import {documentOf} from '../support/schema.js';

describe('kvfio export', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'kvfio-export-'))));
  afterEach(() => {
    rmSync(folder, {recursive: true});
  });
  const unstamped = (text: string): string =>
    text.replace(/\b\d{10}\.?\d*\b|\b\d{4}-\d\d-\d\dT[\d:]+Z/g, 'TIME');

  for (const format of FORMAT_NAMES) {
    it(`writes ${format} to a file that everybody may read, and replaces its own`, async () => {
      using built = machine(GPU);
      const out = join(folder, 'file');
      const before = process.umask(0o077);
      try {
        for (const round of [1, 2]) {
          const {exit, stdout} = await run(Export, [format, '--sysroot', built.root, '--out', out]);
          assert.equal(exit, 0, `round ${round}`);
          assert.match(stdout, /: 3 groups, 4 devices, \d+ bytes\n$/);
        }
      } finally {
        process.umask(before);
      }
      assert.equal(statSync(out).mode & 0o777, 0o644);
      assert.equal(unstamped(readFileSync(out, 'utf8')), unstamped(await exported(format, built)));
      assert.deepEqual(readdirSync(folder), ['file']);
    });

    it(`knows a file of ${format} by how it begins`, async () => {
      using built = machine(GPU);
      const text = Buffer.from(await exported(format, built)).subarray(0, MARK_WITHIN);
      for (const [name, {mark}] of Object.entries(FORMATS))
        assert.equal(text.includes(mark), name === format, name);
    });
  }

  it('replaces nothing that it has not written, nor an export of another format, unless it is forced to', async () => {
    using built = machine(GPU);
    const out = join(folder, 'file');
    for (const text of ['mine', await exported('ansible', built)]) {
      writeFileSync(out, text);
      const argv = ['prometheus', '--sysroot', built.root, '--out', out];
      const refused = await run(Export, [...argv, '--json']);
      assert.equal(documentOf<ErrorDocument>(refused.stdout, 'error').error.exit, 5);
      assert.deepEqual([refused.exit, readFileSync(out, 'utf8')], [5, text]);
      assert.equal((await run(Export, [...argv, '--force'])).exit, 0);
      assert.match(readFileSync(out, 'utf8'), /^# Written by "kvfio export prometheus"/);
    }
  });

  it('replaces a link rather than what it leads to, and leaves a pipe alone', async () => {
    using built = machine(GPU);
    const [target, link, pipe] = ['target', 'link', 'pipe'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(target, 'mine');
    symlinkSync(target, link);
    const argv = ['prometheus', '--sysroot', built.root, '--force', '--out'];
    assert.equal((await run(Export, [...argv, link])).exit, 0);
    assert.equal(readFileSync(target, 'utf8'), 'mine');
    assert.match(readFileSync(link, 'utf8'), /kvfio_group_info/);
    spawnSync('mkfifo', [pipe]);
    assert.equal((await run(Export, [...argv, pipe])).exit, 5);
  });

  it('describes what it wrote, and what it could not read, in a document that keeps to its schema', async () => {
    using built = machine(GPU);
    const out = join(folder, 'file');
    const {stdout} = await run(Export, ['prometheus', '--sysroot', built.root, '--out', out, '--json']);
    const document = documentOf<ExportDocument>(stdout, 'export');
    assert.deepEqual(
      [document.format, document.file, document.bytes, document.groups, document.devices],
      ['prometheus', out, readFileSync(out).length, 3, 4],
    );
    assert.deepEqual(
      document.unread.map(({part}) => part),
      ['vms', 'holders'],
    );
  });

  it('exits with 0 for a machine of which nothing can be read, and says so', async () => {
    using built = machine({release: null, architecture: null, iommuSupport: false, tables: null});
    built.remove('proc');
    for (const format of FORMAT_NAMES) {
      const {exit, stdout, stderr} = await run(Export, [format, '--sysroot', built.root]);
      assert.equal(exit, 0, format);
      assert.ok(stdout.length > 0);
      assert.match(stderr, /warning: \/proc\/cmdline disappeared/);
    }
  });

  it('exits with 0 for a capture that doctor does not take, and says so', async () => {
    const file = join(folder, 'old.json');
    writeFileSync(
      file,
      JSON.stringify({kvfioCapture: 1, texts: {}, links: {}, refusals: {}, directories: {}, parts: {}}),
    );
    const {exit, stdout} = await run(Export, ['prometheus', '--sysroot', file]);
    assert.equal(exit, 0);
    assert.match(stdout, /^kvfio_part_read\{part="doctor"\} 0$/m);
    assert.doesNotMatch(stdout, /kvfio_doctor_check\{/);
  });

  const failures: [what: string, argv: (folder: string) => string[], exit: number][] = [
    ['no format', () => [], 2],
    ['a format that there is not', () => ['xml'], 2],
    ['two documents on stdout', () => ['prometheus', '--json'], 2],
    ['a folder that does not exist', (at) => ['prometheus', '--out', join(at, 'no/file')], 3],
    ['a sysroot that does not exist', (at) => ['prometheus', '--sysroot', join(at, 'nowhere')], 3],
  ];
  for (const [what, argv, exit] of failures) {
    it(`exits with ${exit} for ${what}, and writes nothing`, async () => {
      assert.equal((await run(Export, argv(folder))).exit, exit);
      assert.deepEqual(readdirSync(folder), []);
    });
  }

  it('exports this machine, as root and as an ordinary user, who is told of what is hidden', function () {
    needs(this, 'build', 'root');
    this.timeout(60_000);
    for (const uid of [undefined, 65534]) {
      const {exit, stdout} = start(['export', 'prometheus'], uid === undefined ? {} : {uid});
      assert.equal(exit, 0);
      assert.match(stdout, /^kvfio_part_read\{part="vms"\} 1$/m);
      const hidden = Number(/^kvfio_hidden_processes (\d+)$/m.exec(stdout)?.[1]);
      if (uid !== undefined) assert.ok(hidden > 0);
      assert.match(stdout, /^kvfio_doctor_check\{check="kvm"\} /m);
    }
  });
});
