import {Failure} from '../failure.js';
import {SyscallError} from '../linux/errno.js';

/** What /dev/kvm answers to this user. */
export type KvmAnswers =
  /** It could not be opened: an error by name, such as EACCES. */
  | {opened: false; errno: string}
  | {
      opened: true;
      /** KVM_CAP_DEVICE_CTRL. */
      deviceControl: boolean;
      /** Error of KVM_CREATE_VM; null when it made one. */
      createVm: string | null;
      /** Whether a kvm-vfio device could be created (KVM_CREATE_DEVICE_TEST); null without a VM to ask. */
      vfio: boolean | null;
    };

/**
 * Asks KVM, with a VM that lives for this moment.
 *
 * @returns null when kvfio cannot make system calls here
 */
export const askKvm = async (): Promise<KvmAnswers | null> => {
  const {Kvm} = await import('../linux/kvm.js');
  const {KVM_CAP_DEVICE_CTRL, KVM_DEV_TYPE_VFIO} = await import('../linux/ioctl.js');
  try {
    using kvm = Kvm.open();
    const deviceControl = kvm.checkExtension(KVM_CAP_DEVICE_CTRL) > 0;
    try {
      using vm = kvm.createVm();
      const vfio = deviceControl && vm.supportsDevice(KVM_DEV_TYPE_VFIO);
      return {opened: true, deviceControl, createVm: null, vfio};
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      return {opened: true, deviceControl, createVm: error.code, vfio: null};
    }
  } catch (error) {
    if (error instanceof SyscallError) return {opened: false, errno: error.code};
    if (error instanceof Failure && error.kind === 'cannotDecide') return null;
    throw error;
  }
};
