import {statSync} from 'node:fs';
import {basename} from 'node:path';
import {DataType, load, open as openLibrary} from 'ffi-rs';
import {close, O_RDWR, open} from '../../src/linux/libc.js';

openLibrary({library: 'libc-of-tests', path: 'libc.so.6'});

export interface OwnNode {
  path: string;
  /** As stat(2) has it. */
  device: number;
  /** `MAJOR:MINOR`. */
  number: string;
}

/**
 * A character device that nothing else on the machine has open, also where tests and trials run beside each other: the far end
 * of a new pseudo-terminal (pts(4)), which needs no privilege. It is gone when this is disposed.
 */
export const ownNode = (): OwnNode & Disposable => {
  const master = open('/dev/ptmx', O_RDWR);
  const call = {library: 'libc-of-tests', paramsType: [DataType.I32], paramsValue: [master]};
  load({...call, funcName: 'unlockpt', retType: DataType.I32});
  const path = load({...call, funcName: 'ptsname', retType: DataType.String});
  const device = statSync(path).rdev;
  return {
    path,
    device,
    // UNIX98_PTY_SLAVE_MAJOR and the index in its name (fs/devpts/inode.c, devpts_pty_new)
    number: `136:${basename(path)}`,
    [Symbol.dispose]: () => {
      close(master);
    },
  };
};
