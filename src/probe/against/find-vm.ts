import {reachVm, type ReachOptions, type VmPlace} from '../../vm/reach-owner.js';
import type {AgainstVm} from './measure-against.js';

/**
 * Finds the process of a running VM, and leaves both alone.
 *
 * @throws {@link Failure}
 */
export const findVm = async (place: VmPlace, options: Omit<ReachOptions, 'via'>): Promise<AgainstVm> => {
  using reached = await reachVm(place, {...options, via: 'auto'});
  const {pid, comm, vmFd, socket} = reached;
  return {pid, command: comm, fd: vmFd, socket};
};
