import {Failure} from '../../failure.js';
import {vmOfProcess} from '../../vm/find-owner.js';
import {reachVm, type ReachOptions, type VmPlace} from '../../owner/reach-owner.js';
import type {AgainstVm} from './measure-against.js';

/**
 * Finds the process of a running VM, and leaves both alone.
 *
 * @throws {@link Failure}
 */
export const findVm = async (place: VmPlace, options: Omit<ReachOptions, 'via'>): Promise<AgainstVm> => {
  using reached = await reachVm(place, {...options, via: 'auto'});
  const {pid, comm, vmFd, socket} = reached;
  return {pid, command: comm, fd: vmFd, socket, sharesProcess: hasSeveral(pid)};
};

const hasSeveral = (pid: number): boolean | null => {
  try {
    vmOfProcess(pid)[Symbol.dispose]();
    return false;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return error.code === 'SEVERAL_VMS' ? true : null;
  }
};
