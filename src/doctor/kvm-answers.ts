import {Failure} from '../failure.js';
import {SyscallError} from '../linux/errno.js';

/** What /dev/kvm answers to this user. */
export type KvmAnswers =
  /** It could not be opened: an error by name, such as EACCES. */
  | {opened: false; errno: string}
  /** Error of KVM_CREATE_VM. */
  | {opened: true; createVm: string}
  | {
      opened: true;
      createVm: null;
      /** Error of KVM_CREATE_DEVICE for a kvm-vfio device; null when KVM made one. */
      createDevice: string | null;
    };

/**
 * Makes a VM and its kvm-vfio device, and closes both: this shows what KVM answers.
 *
 * KVM_CHECK_EXTENSION(KVM_CAP_DEVICE_CTRL) is not asked: on x86, 5.10 and 6.1 answer 0 even though they make devices.
 *
 * @returns null when kvfio cannot make system calls here
 */
export const askKvm = async (): Promise<KvmAnswers | null> => {
  const {Kvm} = await import('../kvm/system.js');
  const {KVM_DEV_TYPE_VFIO} = await import('../linux/ioctl.js');
  try {
    using kvm = Kvm.open();
    let made = false;
    try {
      using vm = kvm.createVm();
      made = true;
      vm.createDevice(KVM_DEV_TYPE_VFIO)[Symbol.dispose]();
      return {opened: true, createVm: null, createDevice: null};
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      return made
        ? {opened: true, createVm: null, createDevice: error.code}
        : {opened: true, createVm: error.code};
    }
  } catch (error) {
    if (error instanceof SyscallError) return {opened: false, errno: error.code};
    if (error instanceof Failure && error.kind === 'cannotDecide') return null;
    throw error;
  }
};
