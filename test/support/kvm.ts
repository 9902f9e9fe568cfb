import type {Context} from 'mocha';
import {SyscallError} from '../../src/linux/errno.js';
import {Kvm} from '../../src/linux/kvm.js';
import {skip} from './skip.js';

/** Skips a test by name where no VM can be created. */
export const requireKvm = (context: Context): void => {
  if (process.arch !== 'x64') skip(context, `${process.arch} has no WBINVD`);
  try {
    Kvm.open()[Symbol.dispose]();
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    skip(context, error.message);
  }
};
