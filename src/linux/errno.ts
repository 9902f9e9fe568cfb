import {constants} from 'node:os';

/** Names of error numbers, from include/uapi/asm-generic/errno{-base,}.h. */
const NAMES = new Map<number, string>([
  ...Object.entries(constants.errno).map(([name, number]): [number, string] => [number, name]),
  // node:os lists each number's last name, and only what libuv maps
  [11, 'EAGAIN'],
  [95, 'EOPNOTSUPP'],
  [77, 'EBADFD'],
  [85, 'ERESTART'],
  [121, 'EREMOTEIO'],
]);

/** `EBUSY` for 16; `errno 4711` for a number that has no name. */
export const errnoName = (errno: number): string => NAMES.get(errno) ?? `errno ${errno}`;

/** A system call that the kernel refused. */
export class SyscallError extends Error {
  /** Name of the call, such as `open` or `ioctl(KVM_CREATE_DEVICE)`. */
  readonly syscall: string;
  readonly errno: number;
  /** The error's name, such as `EBUSY`. */
  readonly code: string;
  readonly path: string | undefined;

  constructor(syscall: string, errno: number, path?: string) {
    const code = errnoName(errno);
    super(`${syscall}${path === undefined ? '' : ` ${path}`}: ${code}`);
    this.name = 'SyscallError';
    this.syscall = syscall;
    this.errno = errno;
    this.code = code;
    this.path = path;
  }
}

/** What is read; null when the system refuses it. */
export const orNull = <T>(read: () => T): T | null => {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && 'code' in error) return null;
    throw error;
  }
};
