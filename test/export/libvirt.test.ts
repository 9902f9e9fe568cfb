import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import Export from '../../src/commands/export.js';
import {intel, machine, other, pci, port} from '../support/machine.js';
import {needs} from '../support/needs.js';
import {run} from '../support/run.js';
import {exported} from './exported.js';
import {GPU, oddMachines} from './machines.js';

const elements = (text: string): string[] =>
  [...text.matchAll(/<hostdev (.*?)>\s*<source>(.*?)<\/source>\s*<alias name="(.*?)"\/>/g)].map(
    ([, attributes = '', source = '', alias = '']) => [alias, attributes, source].join(' '),
  );

describe('kvfio export libvirt', () => {
  it('has each device of the groups that a VM can have, and has libvirt bind what is not bound', async () => {
    using built = machine(GPU);
    const bus1 = (fn: number): string =>
      `<address domain="0x0000" bus="0x01" slot="0x00" function="0x${fn}"/>`;
    assert.deepEqual(elements(await exported('libvirt', built)), [
      `ua-kvfio-group5-0 mode="subsystem" type="pci" managed="no" ${bus1(0)}`,
      `ua-kvfio-group5-1 mode="subsystem" type="pci" managed="no" ${bus1(1)}`,
      'ua-kvfio-group6-0 mode="subsystem" type="pci" managed="yes" <address domain="0x10000" bus="0xe1" slot="0x00" function="0x0"/>',
    ]);
  });

  it('leaves out bridges, which libvirt gives to no VM, and groups with a device that it cannot name', async () => {
    using built = machine({
      units: {dmar0: intel('f050da')},
      groups: {
        0: [
          port('0000:00:01.0', {unit: 'dmar0'}),
          pci('0000:01:00.0', {unit: 'dmar0', driver: 'vfio-pci', parent: 'pci0000:00/0000:00:01.0'}),
        ],
        1: [other('platform', 'fd880000.usb', {unit: 'dmar0', driver: 'vfio-platform', vfio: ['vfio0']})],
      },
    });
    const found = elements(await exported('libvirt', built));
    assert.deepEqual(
      found.map((each) => each.split(' ', 1)[0]),
      ['ua-kvfio-group0-0'],
    );
  });

  it('says how many groups it leaves out, in the file and in a note', async () => {
    using built = machine(GPU);
    assert.match(await exported('libvirt', built), /<!-- left out: 1 of 3 groups; not read: 0 files -->/);
    const {stderr} = await run(Export, ['libvirt', '--sysroot', built.root]);
    assert.match(stderr.replaceAll(/\n +/g, ' '), /^kvfio: 1 of 3 groups are left out, /m);
  });

  it('is valid to libvirt, whatever the machine', async function () {
    needs(this, 'time', 'virt-xml-validate', 'xmllint');
    this.timeout(60_000);
    const folder = mkdtempSync(join(tmpdir(), 'kvfio-libvirt-'));
    const file = join(folder, 'domain.xml');
    try {
      for (const [name, built] of oddMachines()) {
        using each = built;
        writeFileSync(file, await exported('libvirt', each));
        const {status, stdout, stderr} = spawnSync('virt-xml-validate', [file], {encoding: 'utf8'});
        assert.equal(status, 0, `${name}: ${stdout}${stderr}`);
      }
    } finally {
      rmSync(folder, {recursive: true});
    }
  });
});
