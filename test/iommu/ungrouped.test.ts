import assert from 'node:assert/strict';
import {existsSync, renameSync, rmSync} from 'node:fs';
import {readHost} from '../../src/iommu/host.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {intel, machine, pci} from '../support/machine.js';
import {WatchedTree} from '../support/watched-tree.js';

const SPEC = {
  units: {dmar0: intel('f050da')},
  groups: {0: [pci('0000:01:00.0', {unit: 'dmar0'})], 1: [pci('0000:02:00.0', {unit: 'dmar0'})]},
  ungrouped: [pci('0000:05:00.0'), pci('0000:04:00.0')],
};

describe('devices in no group', () => {
  it('are those of the buses that no group has, by address', () => {
    using built = machine(SPEC);
    const {ungrouped, warnings} = readHost(new DirectoryTree(built.root));
    assert.deepEqual(
      ungrouped.map(({address}) => address),
      ['0000:04:00.0', '0000:05:00.0'],
    );
    assert.deepEqual(warnings, []);
  });

  it('are not looked for where only some groups are asked for', () => {
    using built = machine(SPEC);
    const listed: string[] = [];
    const tree = new WatchedTree(new DirectoryTree(built.root), (path) => {
      listed.push(path);
      return undefined;
    });
    const {ungrouped} = readHost(tree, {onlyGroups: [1]});
    assert.deepEqual(ungrouped, []);
    assert.deepEqual(
      listed.filter((path) => path.startsWith('/sys/bus/')),
      [],
    );
  });

  it('are not those that are listed under the name of another', () => {
    using built = machine(SPEC);
    built.link('sys/bus/pci/devices/0000:0f:00.0', 'sys/devices/pci0000:01/0000:01:00.0');
    const {ungrouped, warnings} = readHost(new DirectoryTree(built.root));
    assert.equal(ungrouped.length, 2);
    assert.deepEqual(
      warnings.map(({path, code}) => [path, code]),
      [['/sys/bus/pci/devices/0000:0f:00.0', 'MALFORMED']],
    );
  });

  it('are not those that are plugged in during the scan, into a group of their own', () => {
    for (const moment of ['/sys/kernel/iommu_groups/0/devices', '/sys/bus/pci/devices']) {
      using built = machine(SPEC);
      const hidden = built.path('sys/hidden');
      const folder = built.path('sys/kernel/iommu_groups/1');
      renameSync(folder, hidden);
      const tree = new WatchedTree(new DirectoryTree(built.root), (path) => {
        if (path === moment && existsSync(hidden)) renameSync(hidden, folder);
        return undefined;
      });
      const {groups, ungrouped, warnings} = readHost(tree);
      assert.deepEqual([groups.length, ungrouped.length], [1, 2]);
      assert.deepEqual(
        warnings.map(({path, code, message}) => [path, code, /IOMMU group 1 now/.test(message)]),
        [['/sys/devices/pci0000:02/0000:02:00.0', 'EAGAIN', true]],
      );
    }
  });

  it('cost one warning where one is unplugged with its group after the bus was listed', () => {
    const groups = Array.from({length: 60}, (_, id) => [
      pci(`0000:${id.toString(16).padStart(2, '0')}:00.0`, {unit: 'dmar0'}),
    ]);
    using built = machine({units: SPEC.units, groups: Object.fromEntries(groups.entries())});
    const tree = new WatchedTree(new DirectoryTree(built.root), (path) => {
      if (path !== '/sys/kernel/iommu_groups/59/devices') return undefined;
      for (const gone of ['kernel/iommu_groups/59', 'bus/pci/devices/0000:3b:00.0', 'devices/pci0000:3b'])
        built.remove(`sys/${gone}`);
      return undefined;
    });
    const {ungrouped, warnings} = readHost(tree);
    assert.deepEqual(ungrouped, []);
    assert.deepEqual(
      warnings.map(({path}) => path),
      ['/sys/kernel/iommu_groups/59/devices'],
    );
  });

  it('are found without any group', () => {
    using built = machine({ungrouped: SPEC.ungrouped});
    rmSync(built.path('sys/kernel/iommu_groups'), {recursive: true, force: true});
    assert.equal(readHost(new DirectoryTree(built.root)).ungrouped.length, 2);
  });
});
