import assert from 'node:assert/strict';
import {spawn, spawnSync, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {ErrorDocument} from '../../src/cli/output/report.js';
import Probe from '../../src/commands/probe.js';
import {Process} from '../../src/linux/proc/process.js';
import type {CompareDocument} from '../../src/probe/compare.js';
import type {ProbeDocument} from '../../src/probe/probe-document.js';
import {needs} from '../support/needs.js';
import {SLOWNESS} from '../support/pace.js';
import {buildOnce, PROJECT, run} from '../support/run.js';
import {documentOf} from '../support/schema.js';
import {scratch} from '../vm/vmm.js';

describe('kvfio probe', function () {
  this.timeout(60_000);

  it('prints one document with exactly as many samples as asked', async function () {
    needs(this, 'x64', 'kvm');
    const {exit, stdout, stderr} = await run(Probe, [
      ...['--operation', 'wbinvd', '--operation', 'cpuid', '--operation', 'pio', '--operation', 'empty'],
      ...['--samples', '300', '--warmup', '7', '--spread', '0', '--json'],
    ]);
    assert.equal(exit, 0, stderr);
    const document = documentOf<ProbeDocument>(stdout, 'probe');
    assert.deepEqual(
      document.series.map(({operation, phase, samples}) => [operation, phase, samples]),
      ['wbinvd', 'cpuid', 'pio', 'empty'].map((operation) => [operation, 'alone', 300]),
    );
    assert.equal(document.ended, 'complete');
    const [phase] = document.phases;
    assert.equal(phase?.operations, 3 * 307);
    assert.equal(phase.coherency.state, 'coherent');
    assert.ok(document.cpus.seen.length > 0);
    assert.ok(document.verdict.reasons.length > 0);
  });

  it('says in words first what was found', async function () {
    needs(this, 'x64', 'kvm');
    const {exit, stdout} = await run(Probe, ['--samples', '200', '--spread', '0']);
    assert.equal(exit, 0);
    assert.match(stdout, /^WBINVD takes [\d ]+ ns in the guest \(median of 200 samples/);
    assert.match(stdout, /KVM left the guest \d+ times for 300 operations/);
  });

  it('takes the empty bracket off when it is asked to', async function () {
    needs(this, 'x64', 'kvm');
    const {stdout} = await run(Probe, ['--samples', '200', '--spread', '0', '--subtract-empty', '--json']);
    const {series} = documentOf<ProbeDocument>(stdout, 'probe');
    const [wbinvd, empty] = series;
    assert.ok(wbinvd !== undefined && empty !== undefined);
    assert.equal(empty.subtracted, 0);
    assert.equal(wbinvd.subtracted, empty.cycles?.median);
  });

  it('prints every raw sample, and draws them', async function () {
    needs(this, 'x64', 'kvm');
    using folder = scratch();
    const svg = folder.path('samples.svg');
    const {exit, stdout} = await run(Probe, ['--samples', '123', '--spread', '0', '--csv', '--svg', svg]);
    assert.equal(exit, 0);
    const [header, ...lines] = stdout.trim().split('\n');
    assert.equal(header, 'operation,phase,index,ticks,nanoseconds,when');
    assert.equal(lines.length, 123);
    assert.ok(lines.every((line, index) => line.startsWith(`wbinvd,alone,${index},`)));
    assert.match(readFileSync(svg, 'utf8'), /^<svg /);
    assert.deepEqual(readdirSync(folder.path('.')), ['samples.svg']);
  });

  it('ends in peace when nobody reads its samples to the end', function () {
    needs(this, 'x64', 'kvm');
    buildOnce();
    const command = `"${process.execPath}" "${join(PROJECT, 'bin/run.js')}" probe --samples 30000 --spread 0 --csv --quiet; echo $? >&2`;
    const {stdout, stderr} = spawnSync('sh', ['-c', `{ ${command}; } | head -n 1`], {encoding: 'utf8'});
    assert.equal(stdout, 'operation,phase,index,ticks,nanoseconds,when\n');
    assert.equal(stderr, '0\n');
  });

  it('puts two runs side by side', async function () {
    needs(this, 'x64', 'kvm');
    using folder = scratch();
    for (const name of ['a', 'b']) {
      const {stdout} = await run(Probe, ['--samples', '200', '--spread', '0', '--json']);
      writeFileSync(folder.path(name), stdout);
    }
    const files = [folder.path('a'), folder.path('b')];
    const {exit, stdout} = await run(Probe, ['--compare', ...files, '--json']);
    assert.equal(exit, 0);
    const {pairs} = documentOf<CompareDocument>(stdout, 'probe-compare');
    assert.equal(pairs.length, 1);
    assert.match((await run(Probe, ['--compare', ...files])).stdout, /WBINVD|wbinvd/);
  });

  it('does not take a run without a sample for one', async function () {
    needs(this, 'x64', 'kvm');
    const argv = ['--duration', '1', '--dirty', '2M', '--warmup', '100000', '--json'];
    const {exit, stdout} = await run(Probe, argv);
    assert.equal(exit, 8);
    assert.equal(documentOf<ErrorDocument>(stdout, 'error').error.code, 'NOTHING_MEASURED');
  });

  it('ends with what there is when it is interrupted, at once', async function () {
    needs(this, 'x64', 'kvm');
    buildOnce();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      const child = spawn(
        process.execPath,
        [join(PROJECT, 'bin/run.js'), 'probe', '--samples', '5000000', '--warmup', '1', '--json'],
        {stdio: ['ignore', 'pipe', 'pipe']},
      );
      const output = Promise.all([textOf(child, 'stdout'), textOf(child, 'stderr')]);
      await vcpuOf(child);
      await sleep(500 * SLOWNESS);
      child.kill(signal);
      const [code] = (await once(child, 'exit')) as [number | null];
      const [stdout, stderr] = await output;
      assert.equal(code, 0, stderr);
      const document = documentOf<ProbeDocument>(stdout, 'probe');
      assert.equal(document.ended, 'interrupted');
      const [series] = document.series;
      assert.ok(series !== undefined && series.samples > 0 && series.samples < 5_000_000);
      assert.match(stderr, /interrupted/);
    }
  });

  it('ends when its time is over', async function () {
    needs(this, 'x64', 'kvm');
    const {stdout} = await run(Probe, ['--duration', '1', '--json']);
    assert.equal(documentOf<ProbeDocument>(stdout, 'probe').ended, 'duration');
  });

  it('says on other processors that WBINVD does not exist there', async () => {
    const arch = Object.getOwnPropertyDescriptor(process, 'arch') ?? {};
    Object.defineProperty(process, 'arch', {...arch, value: 'arm64'});
    try {
      const {exit, stdout} = await run(Probe, ['--json']);
      assert.equal(exit, 8);
      assert.match(documentOf<ErrorDocument>(stdout, 'error').error.message, /does not exist on arm64/);
    } finally {
      Object.defineProperty(process, 'arch', arch);
    }
  });

  it('says why there is no VM without /dev/kvm, and without permission', function () {
    needs(this, 'x64', 'kvm');
    needs(this, 'root');
    buildOnce();
    const program = [process.execPath, join(PROJECT, 'bin/run.js'), 'probe', '--json'];
    // in a /dev of its own, because whether all may open /dev/kvm is each host's own affair
    const inDev = (made: string, ...argv: string[]): string[] => [
      ...['unshare', '--mount', 'sh', '-c', `mount -t tmpfs none /dev ${made} && exec "$@"`, 'sh'],
      ...argv,
    ];
    const hidden = inDev('', ...program);
    const nobody = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];
    const refused = inDev('&& mknod -m 600 /dev/kvm c 10 232', ...nobody, ...program);
    for (const [argv, exit, why] of [
      [hidden, 8, /There is no \/dev\/kvm/],
      [refused, 4, /You may not open \/dev\/kvm/],
    ] as const) {
      const {status, stdout, stderr} = spawnSync(argv[0] ?? '', argv.slice(1), {encoding: 'utf8'});
      assert.equal(status, exit, stderr);
      assert.match(documentOf<ErrorDocument>(stdout, 'error').error.message, why);
    }
  });

  it('refuses before it measures what cannot be done', async function () {
    needs(this, 'x64', 'kvm');
    using folder = scratch();
    writeFileSync(folder.path('there'), '');
    const refused: [argv: string[], exit: number, message: RegExp][] = [
      [['--cpu', '8000'], 3, /no CPU 8000/],
      [['--cpus-visited', '8000'], 5, /may use \d+:/],
      [['--samples', '0'], 2, /whole number of at least 1/],
      [['--samples', '5000001'], 2, /may have 5000000 in all/],
      [['--samples', '2500001', '--operation', 'cpuid', '--operation', 'pio'], 2, /2 series/],
      [['--operation', 'invd'], 2, /takes one of wbinvd, /],
      [['--dirty', '8X'], 2, /not a size for --dirty/],
      [['--dirty', '2G'], 2, /too much/],
      [['--group', '999999999'], 3, /no IOMMU group 999999999/],
      [['--svg', folder.path('no/such/folder.svg')], 3, /folder does not exist/],
      [['--svg', folder.path('there')], 5, /exists already/],
      [['--compare', folder.path('there')], 2, /takes two files/],
      [['--csv', '--json'], 2, /exclude each other/],
      [['--against'], 2, /No VM is named/],
      [['--pid', '1'], 2, /--pid needs --against/],
      [['--against', '--pid', '1', '--samples', '9'], 2, /exclude each other/],
      [['--against', '--pid', String(process.pid)], 3, /has no VM/],
      [['--against', '--vm-sock', folder.path('no.sock'), '--timeout', '1'], 3, /no\.sock/],
    ];
    for (const [argv, exit, message] of refused) {
      const json = argv.includes('--csv') ? [] : ['--json'];
      const outcome = await run(Probe, [...argv, ...json]);
      assert.equal(outcome.exit, exit, `${argv.join(' ')}: ${outcome.stdout}${outcome.stderr}`);
      const text =
        json.length === 0
          ? outcome.stdout + outcome.stderr
          : documentOf<ErrorDocument>(outcome.stdout, 'error').error.message;
      assert.match(text, message, argv.join(' '));
    }
    assert.deepEqual(readdirSync(folder.path('.')), ['there']);
  });
});

const textOf = async (child: ChildProcess, stream: 'stdout' | 'stderr'): Promise<string> => {
  let text = '';
  for await (const chunk of child[stream] ?? []) text += String(chunk);
  return text;
};

/** Waits until a process has a vCPU. */
const vcpuOf = async ({pid = 0}: ChildProcess): Promise<void> => {
  while (![...new Process(pid).descriptors().values()].includes('anon_inode:kvm-vcpu:0')) await sleep(20);
};
