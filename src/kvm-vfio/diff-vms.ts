import type {ListedVm} from './vms.js';

/** A line of `kvfio vms --watch --json`. */
export interface WatchDocument {
  schemaVersion: 1;
  /** `present` was there when kvfio began to watch. */
  event: VmChange['event'] | 'present';
  /** The VM as it is now; one that is gone, as it was. */
  vm: ListedVm;
}

/** What became of a VM between two looks. */
export interface VmChange {
  event: 'appeared' | 'changed' | 'gone';
  /** The VM as it is now; one that is gone, as it was. */
  vm: ListedVm;
}

/**
 * What differs between two lists: first what has gone, then the others in the order of the list.
 *
 * @param shown - what a reader sees of a VM: it has changed when this has
 */
export const diffVms = (
  before: readonly ListedVm[],
  after: readonly ListedVm[],
  shown: (vm: ListedVm) => string = lasting,
): VmChange[] => {
  const old = new Map(before.map((vm) => [identity(vm), vm]));
  const now = new Set(after.map(identity));
  const gone = before.filter((vm) => !now.has(identity(vm)));
  return [
    ...gone.map((vm): VmChange => ({event: 'gone', vm})),
    ...after.flatMap((vm): VmChange[] => {
      const was = old.get(identity(vm));
      if (was === undefined) return [{event: 'appeared', vm}];
      return shown(was) === shown(vm) ? [] : [{event: 'changed', vm}];
    }),
  ];
};

/** What a VM is known by from one look to the next. */
export const identity = ({pid, fd}: ListedVm): string => `${pid} ${fd}`;

/**
 * A VM as a text, without the fields that differ at every look, and without the other processes that have the VM, as each
 * kvfio that works on it does for a moment.
 */
const lasting = (vm: ListedVm): string =>
  JSON.stringify({...vm, memory: null, age: null, threads: null, holders: null});
