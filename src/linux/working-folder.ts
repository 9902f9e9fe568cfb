import {closeSync, constants, openSync} from 'node:fs';

/** A way back to the working directory. */
export interface Home extends Disposable {
  comeBack: () => void;
}

/** The working directory, by a descriptor; null for one that its user may not enter (again), and in a thread, which has none. */
export const openHome = (): Home | null => {
  let fd: number | undefined;
  try {
    fd = openSync('.', O_PATH | constants.O_DIRECTORY);
    const place = `/proc/self/fd/${fd}`; // even if the folder's name is gone
    process.chdir(place);
    const opened = fd;
    return {
      comeBack: () => {
        process.chdir(place);
      },
      [Symbol.dispose]: () => {
        closeSync(opened);
      },
    };
  } catch {
    if (fd !== undefined) closeSync(fd);
    return null;
  }
};

/** include/uapi/asm-generic/fcntl.h; it needs no permission to read the folder. */
const O_PATH = 0o10000000;
