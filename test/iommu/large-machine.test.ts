import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {availableParallelism, tmpdir} from 'node:os';
import {existsSync} from 'node:fs';
import {printableJson} from '../../src/printable.js';
import {groupsDocument, type GroupsDocument} from '../../src/groups/groups-document.js';
import {readHost, type HostOptions} from '../../src/iommu/host.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import type {HostTree} from '../../src/host/tree.js';
import {examine} from '../../src/vfio/eligibility/examined.js';
import {amd, intel, machine, other, pci, type DeviceSpec, type Machine} from '../support/machine.js';
import {made} from '../support/made.js';
import {needs} from '../support/needs.js';
import {buildOnce, PROJECT, start} from '../support/run.js';
import {skip} from '../support/skip.js';
import {WatchedTree} from '../support/watched-tree.js';

const GROUPS = 1200;

/** Devices of many kinds, some of them damaged, so that there is a warning in every part of the machine. */
const members = (at: number): DeviceSpec[] => {
  const address = `${(at >> 8).toString(16).padStart(4, '0')}:${(at & 0xff).toString(16).padStart(2, '0')}`;
  const unit = at % 5 === 0 ? 'dmar1' : at % 7 === 0 ? null : 'dmar0';
  const first = pci(`${address}:00.0`, {
    unit,
    driver: at % 3 === 0 ? 'vfio-pci' : 'e1000e',
    vfio: at % 3 === 0 ? [`vfio${at}`] : [],
    numa: at % 2,
    reset: at % 11 === 0 ? '' : 'flr bus',
    override: at % 13 === 0 ? `own-${at}` : '(null)',
    device: at % 4 === 0 ? '10d3' : 'ffff',
  });
  if (at % 97 === 0) return [{...first, uevent: {}}];
  if (at % 17 === 0) return [first, other('platform', `fd${at}.usb`, {unit, driver: 'dwc3'})];
  if (at % 19 === 0) return [];
  return at % 6 === 0 ? [first, pci(`${address}:00.1`, {unit: 'dmar1', noSnoop: false})] : [first];
};

const large = (): Machine =>
  machine(
    {
      units: {dmar0: intel('f050da'), dmar1: intel('f0505a'), ivhd0: amd()},
      groups: Object.fromEntries(Array.from({length: GROUPS}, (_, at) => [at * 3, members(at)])),
      ungrouped: [pci('ffff:01:00.0')],
    },
    existsSync('/dev/shm') ? '/dev/shm' : tmpdir(),
  );

/** A tree that no other thread can have. */
const own = (built: Machine): HostTree => new WatchedTree(new DirectoryTree(built.root), () => undefined);

const textOf = (tree: HostTree, options: HostOptions): string => {
  const host = readHost(tree, {regions: true, ...options});
  const document: GroupsDocument = groupsDocument(host, null, {
    explain: false,
    regions: options.regions ?? false,
    examined: examine(tree, host),
  });
  return `${printableJson(document, 2)}\n`;
};

describe('a machine that is large', () => {
  let built: Machine;
  made(function () {
    this.timeout(60_000);
    needs(this, 'build');
    buildOnce();
    return (built = large());
  });

  it('reads the same with the help of threads, to the byte, warnings in their order', function () {
    if (availableParallelism() < 2) skip(this, 'one CPU gives no help');
    const options = {regions: true, paths: true};
    const alone = textOf(own(built), options);
    assert.match(alone, /it lacks PCI_ID/);
    assert.equal(textOf(new DirectoryTree(built.root), options), alone);
  });

  it('is printed while it is read, and the document is the same to the byte', () => {
    const {exit, stdout} = start(['groups', '--json', '--sysroot', built.root]);
    assert.equal(exit, 0);
    assert.equal(stdout, textOf(own(built), {names: new DirectoryTree()}));
  });

  it('says that nothing matches, though that is known at the end', () => {
    const {exit, stdout, stderr} = start([
      'groups',
      '--json',
      '--driver',
      'nobodys',
      '--sysroot',
      built.root,
    ]);
    assert.equal(exit, 0);
    assert.deepEqual((JSON.parse(stdout) as GroupsDocument).groups, []);
    assert.match(stderr, /no device matches/);
  });

  for (const [end, exit, told] of [
    ['| true', 0, /^$/],
    ['> /dev/full', 6, /^kvfio: The answer could not be written\.\n.*ENOSPC.*\n.*\n$/],
  ] as const) {
    it(`is not read on, nor told of, when nobody takes its document: ${end}`, () => {
      const {status, stderr} = spawnSync(
        'bash',
        [
          '-c',
          `"$0" bin/run.js groups --json --driver e1000e --sysroot "$1" ${end}; exit \${PIPESTATUS[0]}`,
          process.execPath,
          built.root,
        ],
        {encoding: 'utf8', cwd: PROJECT},
      );
      assert.match(stderr, told);
      assert.equal(status, exit);
    });
  }
});
