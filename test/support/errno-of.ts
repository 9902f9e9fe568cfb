import {SyscallError} from '../../src/linux/errno.js';
import {VfioGroup} from '../../src/vfio/ioctls.js';

/** The error by which the kernel refuses something; `done` when it does not. */
export const errnoOf = (work: () => unknown): string => {
  try {
    work();
    return 'done';
  } catch (error) {
    if (error instanceof SyscallError) return error.code;
    throw error;
  }
};

/** Whether a group can be opened: tried, as nothing else tells. */
export const openingOf = (group: number | string): string =>
  errnoOf(() => {
    VfioGroup.open(`/dev/vfio/${group}`)[Symbol.dispose]();
  });
