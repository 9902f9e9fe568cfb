import assert from 'node:assert/strict';
import type {Group} from '../../src/iommu/group.js';
import {readHost} from '../../src/iommu/host.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import type {Examined} from '../../src/vfio/eligibility/check.js';
import {examine} from '../../src/vfio/eligibility/examined.js';
import {intel, machine, type DeviceSpec, type MachineSpec} from './machine.js';

/** A machine with one group, as the checks of eligibility see both. Its files go when it is disposed of. */
export interface ExaminedGroup extends Disposable {
  group: Group;
  examined: Examined;
}

export const examinedGroup = (
  id: number,
  devices: readonly DeviceSpec[],
  {regions, ...spec}: MachineSpec & {regions?: string} = {},
): ExaminedGroup => {
  const built = machine({
    units: {dmar0: intel('f050da')},
    groups: {[id]: regions === undefined ? devices : {devices, regions}},
    ...spec,
  });
  const tree = new DirectoryTree(built.root);
  const host = readHost(tree, {regions: true, noSnoop: false});
  const [group] = host.groups;
  assert.ok(group);
  return {
    group,
    examined: examine(tree, host),
    [Symbol.dispose]: () => {
      built[Symbol.dispose]();
    },
  };
};
