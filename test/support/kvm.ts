import {Failure} from '../../src/failure.js';
import {SyscallError} from '../../src/linux/errno.js';
import {Kvm} from '../../src/kvm/system.js';

/** Why no VM can be created here, or undefined. A file /dev/kvm alone does not promise one. */
export const whyNoKvm = (): string | undefined => {
  try {
    using kvm = Kvm.open();
    kvm.createVm()[Symbol.dispose]();
    return undefined;
  } catch (error) {
    if (error instanceof SyscallError || error instanceof Failure) return error.message;
    throw error;
  }
};
