import {SyscallError} from '../../linux/errno.js';

/** A thread that did not do in time what was asked of it. kvfio lets it go when it ends, and not before. */
export class NoAnswer extends Error {
  /** What it was doing: a call, or {@link STOP}. */
  readonly during: string;

  constructor(during: string) {
    super(`no answer during ${during}`);
    this.name = 'NoAnswer';
    this.during = during;
  }
}

/** A thread has made a call, and kvfio cannot read what the kernel answered. */
export class AnswerUnread extends Error {
  /** The call whose answer was not read. */
  readonly during: string;

  constructor(during: string, cause: SyscallError) {
    super(`the answer to ${during} cannot be read`, {cause});
    this.name = 'AnswerUnread';
    this.during = during;
  }
}

/** Stands for the call of a thread that has executed nothing yet. */
export const STOP = 'the stop';

/** Stands for the call of a thread that kvfio has not asked to stop yet. */
export const UNSTOPPABLE_CALL = 'the call that a stop would end early';

/** The thread ended, or another program was executed. */
export class ThreadGone extends Error {
  constructor(cause?: unknown) {
    super('the thread is gone', {cause});
    this.name = 'ThreadGone';
  }
}

/** Does something with a thread that is stopped. That it is not, or has lost its memory, means that it is gone. */
export const whileThere = <T>(work: () => T): T => {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    const {syscall, code, path} = error;
    const isGone =
      (code === 'ESRCH' && /^(ptrace\(|process_vm_)/.test(syscall)) ||
      (code === 'EIO' && path?.endsWith('/mem') === true);
    throw isGone ? new ThreadGone(error) : error;
  }
};
