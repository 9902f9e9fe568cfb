import {VmEvents} from '../vm/vm-events.js';
import {diffVms, type WatchDocument} from './diff-vms.js';
import {listVms, type ListedVm, type VmsDocument} from './vms.js';

/** A VM that was there at the first look, and what became of one since. */
export type WatchedVm = Pick<WatchDocument, 'event' | 'vm'>;

export interface WatchOptions {
  /** Milliseconds between two looks, if no VM comes or goes. */
  interval: number;
  /** Ends it. */
  signal: AbortSignal;
  /** What a reader sees of a VM: it has changed when this has. Absent, all that lasts. */
  shown: ((vm: ListedVm) => string) | undefined;
  /** Gets the first look. */
  onFirst: (document: VmsDocument) => Promise<void>;
  /** Gets the VMs of the first look, and then the changes of each, which may be none. */
  onVms: (vms: readonly WatchedVm[]) => Promise<void>;
}

/** Looks at the VMs of this host when one comes or goes, and at intervals for what else changes, until `signal` is aborted. */
export const watchVms = async ({interval, signal, shown, onFirst, onVms}: WatchOptions): Promise<void> => {
  // before the first look, so that nothing is missed in between
  using events = new VmEvents();
  try {
    let seen = await listVms();
    await onFirst(seen);
    await onVms(seen.vms.map((vm) => ({event: 'present', vm})));
    for (;;) {
      await events.next(interval, signal);
      const now = await listVms();
      await onVms(diffVms(seen.vms, now.vms, shown));
      seen = now;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
};
