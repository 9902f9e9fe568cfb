import assert from 'node:assert/strict';
import {renameSync} from 'node:fs';
import {constants} from 'node:os';
import {readHost, type Host} from '../../src/iommu/host.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {SyscallError} from '../../src/linux/errno.js';
import {intel, machine, other, pci, type Machine, type MachineSpec} from '../support/machine.js';
import {WatchedTree} from '../support/watched-tree.js';

const GONE = '0000:02:00.0';
const PLATFORM = 'fd880000.usb';

const SPEC: MachineSpec = {
  units: {dmar0: intel('f050da')},
  groups: {
    0: [
      pci('0000:01:00.0', {unit: 'dmar0', driver: 'vfio-pci', vfio: ['vfio0']}),
      pci(GONE, {unit: 'dmar0', driver: 'e1000e', override: 'x', numa: 1, reset: 'flr'}),
      pci('0000:03:00.0', {unit: 'dmar0', driver: 'e1000e'}),
    ],
    1: [pci('0000:04:00.0', {unit: 'dmar0', driver: 'nvme'})],
    2: [other('platform', PLATFORM, {unit: 'dmar0', driver: 'dwc3'})],
  },
  ungrouped: [pci('0000:05:00.0', {driver: 'ahci'})],
};

const OPTIONS = {paths: true, regions: true};
const FOLDERS = {
  [GONE]: 'sys/devices/pci0000:02/0000:02:00.0',
  [PLATFORM]: 'sys/devices/platform/fd880000.usb',
};
const LINKS = {
  [GONE]: [`sys/kernel/iommu_groups/0/devices/${GONE}`, `sys/bus/pci/devices/${GONE}`],
  [PLATFORM]: [`sys/kernel/iommu_groups/2/devices/${PLATFORM}`, `sys/bus/platform/devices/${PLATFORM}`],
};

/** What is known of every device but one, and of their groups. */
const others = ({groups, ungrouped}: Host, but: string): unknown => [
  groups.map(({id, type, devices}) => [id, type, devices.filter(({address}) => address !== but)]),
  ungrouped.filter(({address}) => address !== but),
];

const counted = (built: Machine): number => {
  let calls = 0;
  const tree = new WatchedTree(new DirectoryTree(built.root), () => {
    calls++;
    return undefined;
  });
  readHost(tree, OPTIONS);
  return calls;
};

/** Reads a machine whose files `paths` go between two of the calls that read it; then they come back. */
const readWhileGoing = (built: Machine, paths: readonly string[], at: number): Host => {
  let calls = 0;
  const tree = new WatchedTree(new DirectoryTree(built.root), () => {
    if (calls++ === at)
      for (const [index, path] of paths.entries()) renameSync(built.path(path), built.path(`gone-${index}`));
    return undefined;
  });
  const host = readHost(tree, OPTIONS);
  for (const [index, path] of paths.entries()) renameSync(built.path(`gone-${index}`), built.path(path));
  return host;
};

describe('a device that is unplugged during the scan', () => {
  for (const [address, what] of [
    [GONE, 'a PCI device'],
    [PLATFORM, 'a platform device'],
  ] as const) {
    for (const [how, paths] of [
      ['with its links', [FOLDERS[address], ...LINKS[address]]],
      ['before its links', [FOLDERS[address]]],
    ] as const) {
      it(`is whole or named in one warning, whenever it goes, and the rest is right (${what}, ${how})`, () => {
        using built = machine(SPEC);
        const before = readHost(new DirectoryTree(built.root), OPTIONS);
        const whole = before.groups
          .flatMap(({devices}) => devices)
          .find((device) => device.address === address);
        const calls = counted(built);
        assert.ok(calls > 50);
        let vanished = 0;
        for (let at = 0; at < calls; at++) {
          const host = readWhileGoing(built, paths, at);
          const when = `before call ${at}: ${JSON.stringify(host.warnings)}`;
          const seen = host.groups
            .flatMap(({devices}) => devices)
            .find((device) => device.address === address);
          assert.deepEqual(others(host, address), others(before, address), when);
          if (seen === undefined) {
            assert.ok(host.warnings.length <= 1, when);
            if (host.warnings.length === 1) vanished++;
            for (const {message} of host.warnings) assert.match(message, new RegExp(address), when);
          } else {
            assert.deepEqual(
              {...seen, hops: null, noSnoopReason: null},
              {...whole, hops: null, noSnoopReason: null},
              when,
            );
            assert.deepEqual(host.warnings, [], when);
          }
          const group = host.groups.find(({devices}) => devices.includes(seen as never));
          if (seen !== undefined) assert.equal(group?.snoopControl.verdict, 'enforced', when);
        }
        assert.ok(vanished > 0, 'it never went while it was looked at');
      });
    }
  }

  it('takes its group with it where it was the only member', () => {
    using built = machine(SPEC);
    const paths = ['sys/devices/pci0000:04', 'sys/kernel/iommu_groups/1', 'sys/bus/pci/devices/0000:04:00.0'];
    const calls = counted(built);
    for (let at = 0; at < calls; at++) {
      const host = readWhileGoing(built, paths, at);
      const group = host.groups.find(({id}) => id === 1);
      const when = `before call ${at}: ${JSON.stringify(host.warnings)}`;
      assert.ok(host.warnings.length <= 1, when);
      if (group !== undefined && host.warnings.length === 0) assert.equal(group.devices.length, 1, when);
      assert.deepEqual(host.groups.find(({id}) => id === 0)?.devices.length, 3, when);
    }
  });
});

describe('a file that may not be read', () => {
  const refuse = (built: Machine, refused: string): Host =>
    readHost(
      new WatchedTree(new DirectoryTree(built.root), (path) =>
        path === refused ? new SyscallError('open', constants.errno.EACCES, path) : undefined,
      ),
      OPTIONS,
    );

  it('is named in one warning, and everything else is as it was, whichever it is', () => {
    using built = machine(SPEC);
    const paths = new Set<string>();
    const whole = readHost(
      new WatchedTree(new DirectoryTree(built.root), (path) => {
        paths.add(path);
        return undefined;
      }),
      OPTIONS,
    );
    for (const path of paths) {
      const host = refuse(built, path);
      // configuration space, and what stands for names or for an absent reason, are told in the answer itself
      const told = path.endsWith('/config') || path.endsWith('pci.ids');
      assert.deepEqual(
        host.warnings.map((warning) => `${warning.code} ${warning.path}`),
        told ? [] : [`EACCES ${path}`],
        path,
      );
      const address = /\d{4}:0[1-5]:00\.0/.exec(path)?.[0] ?? PLATFORM;
      if (!path.startsWith('/sys/devices/')) continue;
      assert.deepEqual(others(host, address), others(whole, address), path);
    }
  });

  it('leaves the verdict unknown when it is the link to the unit', () => {
    using built = machine(SPEC);
    const [group] = refuse(built, '/sys/devices/pci0000:04/0000:04:00.0/iommu').groups.slice(1);
    assert.deepEqual([group?.snoopControl.verdict, group?.snoopControl.confidence], ['unknown', 'none']);
  });

  it('does not make a group look viable when it is the uevent file of the member in the way', () => {
    using built = machine(SPEC);
    const [group] = refuse(built, `/${FOLDERS[GONE]}/uevent`).groups;
    assert.deepEqual(group?.blockers[0], {address: GONE, driver: 'e1000e'});
    assert.equal(group.devices.length, 3);
  });

  it("leaves the No-Snoop bit unknown, with the kernel's answer as the reason", () => {
    using built = machine(SPEC);
    const [device] = refuse(built, '/sys/devices/pci0000:04/0000:04:00.0/config').groups[1]?.devices ?? [];
    assert.equal(device?.noSnoop, 'unknown');
    assert.match(device.noSnoopReason ?? '', /EACCES/);
  });
});
