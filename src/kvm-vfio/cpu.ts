import {SyscallError} from '../linux/errno.js';
import type {HostTree} from '../host/tree.js';
import type {Cpu} from './coherency.js';

/** The maker of the virtualization that KVM uses, by the module that is built in or loaded. */
export const readCpu = (tree: HostTree): Cpu => {
  const has = (module: string): boolean => !(tree.list(`/sys/module/${module}`) instanceof SyscallError);
  return has('kvm_intel') ? 'intel' : has('kvm_amd') ? 'amd' : null;
};
