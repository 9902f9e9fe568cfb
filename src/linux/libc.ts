import {createRequire} from 'node:module';
import {constants} from 'node:os';
import type * as FfiRs from 'ffi-rs';
import {Failure} from '../failure.js';
import {SyscallError} from './errno.js';
import {IOCTLS, type IoctlName} from './ioctl.js';

export const O_RDONLY = 0o0;
export const O_RDWR = 0o2;
const O_CLOEXEC = 0o2000000;

/**
 * open(2), always with O_CLOEXEC. Creates no file.
 *
 * @param flags - O_RDONLY or O_RDWR
 * @returns the descriptor, which the caller closes
 * @throws {@link SyscallError} with the path
 */
export const open = (path: string, flags: number): number => {
  // libc would stop reading at the NUL and open another file
  if (path.includes('\0')) throw new RangeError('a path contains a NUL');
  return retryInterrupted(() =>
    calls()
      .open(path, int32(flags) | O_CLOEXEC)
      .orThrow('open', path),
  );
};

/**
 * close(2). The descriptor is gone afterwards whatever the outcome, so an interrupted close is never repeated.
 *
 * @throws {@link SyscallError}
 */
export const close = (fd: number): void => {
  const answer = calls().close(int32(fd));
  if (answer.errno !== constants.errno.EINTR) answer.orThrow('close');
};

/**
 * ioctl(2). Not repeated when interrupted: what is right then depends on the request.
 *
 * @param argument - bytes that the kernel reads and writes in place, or the value itself
 * @param path - names the file in an error
 * @returns what the kernel answered, which is not negative
 * @throws {@link SyscallError} that names the request, as in `ioctl(KVM_CREATE_VM)`
 */
export const ioctl = (
  fd: number,
  request: IoctlName,
  argument: Buffer | bigint | number,
  path?: string,
): number => {
  const {ioctlAt, ioctlOf} = calls();
  const answer =
    typeof argument === 'object'
      ? ioctlAt(int32(fd), IOCTLS[request], argument)
      : ioctlOf(int32(fd), IOCTLS[request], BigInt(argument));
  return answer.orThrow(`ioctl(${request})`, path);
};

/**
 * Address of a Buffer's first byte, for a structure that points to another one.
 *
 * @param buffer - over an ArrayBuffer of its own: V8 may move a small one made with `Buffer.alloc`
 */
export const addressOf = (buffer: Buffer): bigint => calls().addressOf(buffer);

/** Makes a call again for as long as a signal interrupts it (EINTR). */
export const retryInterrupted = <T>(call: () => T): T => {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (!(error instanceof SyscallError && error.code === 'EINTR')) throw error;
    }
  }
};

/** What a call returned, and errno, which says something only when the call failed. */
class Answer {
  readonly value: number;
  readonly errno: number;

  constructor(value: number, errno: number) {
    this.value = value;
    this.errno = value === -1 ? errno : 0;
  }

  orThrow(syscall: string, path?: string): number {
    if (this.value === -1) throw new SyscallError(syscall, this.errno, path);
    return this.value;
  }
}

interface Calls {
  open: (path: string, flags: number) => Answer;
  close: (fd: number) => Answer;
  ioctlAt: (fd: number, request: number, argument: Buffer) => Answer;
  ioctlOf: (fd: number, request: number, argument: bigint) => Answer;
  addressOf: (buffer: Buffer) => bigint;
}

let bound: Calls | undefined;

/** Loading ffi-rs takes longer than reading all of sysfs, so that only happens when a call is made. */
const calls = (): Calls => (bound ??= bind(load()));

const load = (): typeof FfiRs => {
  try {
    const ffi = createRequire(import.meta.url)('ffi-rs') as typeof FfiRs;
    // '' is the running program itself, which has the libc of this system in it, glibc or musl
    ffi.open({library: 'libc', path: ''});
    return ffi;
  } catch (error) {
    throw new Failure({
      code: 'NO_SYSTEM_CALLS',
      kind: 'cannotDecide',
      what: 'kvfio cannot make system calls on this host.',
      why: `The native part of ffi-rs for ${process.platform} ${process.arch} could not be loaded (${firstLine(error)}).`,
      hint: 'Install kvfio with its optional dependencies, on x64 or arm64; commands that only read sysfs work without it.',
      cause: error,
    });
  }
};

/**
 * The functions with their C types. A value that does not fit its type is not an error in ffi-rs: it is
 * truncated or ends the process. So the types are written down here only, and the wrappers above let nothing else in.
 */
const bind = ({
  load,
  arrayConstructor,
  DataType: {BigInt: I64_EXACT, I32, I64, String: STRING, U8Array},
}: typeof FfiRs): Calls => {
  const BYTES = arrayConstructor({type: U8Array, length: 0}); // the length of an argument is not looked at
  const returningInt =
    (funcName: string, ...paramsType: FfiRs.FieldType[]) =>
    (...paramsValue: unknown[]): Answer => {
      const {value, errnoCode} = load<FfiRs.DataType.I32, true>({
        library: 'libc',
        funcName,
        retType: I32,
        paramsType,
        paramsValue,
        errno: true,
      });
      return new Answer(value, errnoCode);
    };
  return {
    open: returningInt('open', STRING, I32),
    close: returningInt('close', I32),
    ioctlAt: returningInt('ioctl', I32, I64, BYTES),
    ioctlOf: returningInt('ioctl', I32, I64, I64_EXACT),
    addressOf: (buffer) => {
      const address: unknown = load({
        library: 'libc',
        funcName: 'memmove', // of no bytes; returns its first argument
        retType: I64_EXACT,
        paramsType: [BYTES, BYTES, I64],
        paramsValue: [buffer, buffer, 0],
      });
      return BigInt.asUintN(64, address as bigint);
    },
  };
};

const int32 = (value: number): number => {
  if ((value | 0) !== value) throw new RangeError(`${value} is not a 32-bit integer`);
  return value;
};

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? '';
