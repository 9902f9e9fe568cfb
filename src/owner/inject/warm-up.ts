import {Descriptor} from '../../linux/descriptor.js';
import {O_RDWR, open, pipe, posixSpawn, retryInterrupted, syscall} from '../../linux/libc.js';

/**
 * Runs `work` with a stand-in for an owner: a shell of kvfio's own that waits for input, and ends when kvfio does. What a program
 * does for the first time takes it many times longer, and an owner is not to wait for that.
 *
 * `node:child_process` would have every stop of an owner's thread, which the kernel reports with SIGCHLD, handled by
 * libuv.
 *
 * Whatever fails here is passed over: it is about time only.
 */
export const withStandIn = (work: (pid: number) => void): void => {
  try {
    const [readEnd, writeEnd] = pipe();
    using input = new Descriptor(readEnd, 'pipe');
    // of this end kvfio has the only descriptor
    const output = new Descriptor(writeEnd, 'pipe');
    using nothing = new Descriptor(open('/dev/null', O_RDWR), '/dev/null');
    const pid = posixSpawn('/bin/sh', ['sh', '-c', 'read line'], [input.fd, nothing.fd, nothing.fd]);
    try {
      work(pid);
    } finally {
      output[Symbol.dispose]();
      process.kill(pid, 'SIGKILL');
      retryInterrupted(() => syscall('wait4', [pid, 0, 0, 0]));
    }
  } catch {
    // it will be slower
  }
};
