import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {constants} from 'node:os';
import type * as FfiRs from 'ffi-rs';
import {Failure} from '../failure.js';
import {callLog} from './call-log.js';
import {SyscallError} from './errno.js';
import {IOCTLS, type IoctlName} from './ioctl.js';
import {syscallNumber, type SyscallName} from './syscalls.js';

export const O_RDONLY = 0o0;
export const O_RDWR = 0o2;
const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = O_NONBLOCK;
const SOCK_CLOEXEC = O_CLOEXEC;
const SOL_SOCKET = 1;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const SIZEOF_POLLFD = 8;

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
 * syscall(2): any call, by its name in the kernel. Not repeated when interrupted.
 *
 * @param args - up to six: integers, and addresses of memory that stays where it is (`PinnedMemory`), of up to 53 bits
 * @returns what the kernel answered, which is not negative
 * @throws {@link SyscallError}
 */
export const syscall = (name: SyscallName, args: readonly (number | bigint)[]): number =>
  calls().syscall(syscallNumber(name), args).orThrow(name);

/**
 * ptrace(2), in half the time of {@link syscall}, because somebody is waiting: errno is asked for only when the call has
 * failed, by making it again. Whatever fails then for the same reason, or does what it was to do.
 *
 * @param address - of memory that stays where it is, or what else the request takes there; so is `data`
 * @returns what the kernel answered, which is not negative
 * @throws {@link SyscallError}
 */
export const ptrace = (request: number, tid: number, address: number, data: number): number => {
  const answer = calls().ptrace(request, tid, address, data);
  return answer === -1 ? syscall('ptrace', [request, tid, address, data]) : answer;
};

/**
 * {@link syscall} as fast as {@link ptrace}, and in the same way.
 *
 * @param name - of a call that may be made again, and answers with no more than an int
 */
export const fastSyscall = (name: SyscallName, args: readonly number[]): number => {
  const answer = calls().fastSyscall(syscallNumber(name), args);
  return answer === -1 ? syscall(name, args) : answer;
};

/**
 * waitpid(2), as fast as {@link ptrace}. It must not block, as a call that was interrupted is made again.
 *
 * @param status - address of an int
 * @returns the thread that has changed its state; 0 when it has not
 * @throws {@link SyscallError}
 */
export const waitpid = (tid: number, status: number, options: number): number => {
  const answer = calls().waitpid(tid, status, options);
  return answer === -1 ? syscall('wait4', [tid, status, options, 0]) : answer;
};

/**
 * socket(2) of the family AF_UNIX: a stream that never blocks (SOCK_NONBLOCK) and is closed on exec.
 *
 * @throws {@link SyscallError}, as do the calls below
 */
export const socket = (): number =>
  calls()
    .socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
    .orThrow('socket');

/**
 * connect(2).
 *
 * @param address - `struct sockaddr_un`
 * @param name - names the address in an error
 */
export const connect = (fd: number, address: Buffer, name: string): void => {
  calls().connect(int32(fd), address, address.length).orThrow('connect', name);
};

/** bind(2), with the parameters of {@link connect}. */
export const bindSocket = (fd: number, address: Buffer, name: string): void => {
  calls().bind(int32(fd), address, address.length).orThrow('bind', name);
};

/** listen(2). */
export const listen = (fd: number, backlog: number): void => {
  calls().listen(int32(fd), int32(backlog)).orThrow('listen');
};

/** accept4(2). The new socket never blocks either. */
export const accept = (fd: number): number =>
  calls()
    .accept4(int32(fd), 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK)
    .orThrow('accept4');

/** getsockopt(2) at the level SOL_SOCKET, of an option that is as long as `value`. */
export const getsockopt = (fd: number, option: number, value: Buffer): void => {
  const length = Buffer.alloc(4);
  length.writeInt32LE(value.length);
  calls().getsockopt(int32(fd), SOL_SOCKET, int32(option), value, length).orThrow('getsockopt');
};

/** sendmsg(2). `header` is a `struct msghdr` whose addresses stay valid; SIGPIPE is never raised. */
export const sendmsg = (fd: number, header: Buffer): number =>
  calls().sendmsg(int32(fd), header, MSG_NOSIGNAL).orThrow('sendmsg');

/** recvmsg(2). Descriptors that come with the message are closed on exec. */
export const recvmsg = (fd: number, header: Buffer): number =>
  calls().recvmsg(int32(fd), header, MSG_CMSG_CLOEXEC).orThrow('recvmsg');

/**
 * poll(2).
 *
 * @param fds - `struct pollfd`s
 * @param timeout - milliseconds
 * @returns how many of them are ready
 */
export const poll = (fds: Buffer, timeout: number): number =>
  calls()
    .poll(fds, fds.length / SIZEOF_POLLFD, int32(timeout))
    .orThrow('poll');

/** {@link poll} in a thread of libuv's pool. `fds` is over an ArrayBuffer of its own. */
export const pollInBackground = async (fds: Buffer, timeout: number): Promise<number> => {
  const answer = await calls().pollInBackground(fds, fds.length / SIZEOF_POLLFD, int32(timeout));
  // ffi-rs keeps no reference to an argument, so this function does until the kernel has written to it
  return fds.length === 0 ? 0 : answer.orThrow('poll');
};

/** eventfd(2), non-blocking, at 0. */
export const eventfd = (): number =>
  calls()
    .eventfd(0, O_CLOEXEC | O_NONBLOCK)
    .orThrow('eventfd');

/** pipe2(2): the end to read from and the end to write to, both closed on exec. */
export const pipe = (): [number, number] => {
  const fds = Buffer.from(new ArrayBuffer(8));
  calls().pipe2(fds, O_CLOEXEC).orThrow('pipe2');
  return [fds.readInt32LE(0), fds.readInt32LE(4)];
};

/**
 * posix_spawn(3), with an empty environment. Unlike `node:child_process` it leaves SIGCHLD alone; whoever spawns waits
 * for the child with wait4.
 *
 * @param path - program
 * @param argv - its arguments, its name the first of them
 * @param stdio - descriptors of this process that become 0, 1 and 2 there
 * @returns the child's process id
 */
export const posixSpawn = (
  path: string,
  argv: readonly string[],
  stdio: readonly [number, number, number],
): number => {
  const {posixSpawn: spawn, ...actions} = calls();
  const pid = Buffer.from(new ArrayBuffer(4));
  const fileActions = Buffer.from(new ArrayBuffer(SIZEOF_POSIX_SPAWN_FILE_ACTIONS));
  const strings = argv.map((text) => Buffer.from(new TextEncoder().encode(`${text}\0`).buffer));
  const pointers = Buffer.from(new ArrayBuffer((strings.length + 1) * 8));
  for (const [index, bytes] of strings.entries()) pointers.writeBigUInt64LE(addressOf(bytes), index * 8);
  // these four return the error number itself
  const check = ({value}: Answer, name: string): void => {
    if (value !== 0) throw new SyscallError(name, value, path);
  };
  check(actions.posixSpawnFileActionsInit(fileActions), 'posix_spawn_file_actions_init');
  try {
    for (const [as, fd] of stdio.entries())
      check(actions.posixSpawnFileActionsAdddup2(fileActions, fd, as), 'posix_spawn_file_actions_adddup2');
    check(spawn(pid, path, fileActions, 0, pointers, Buffer.alloc(8)), 'posix_spawn');
  } finally {
    actions.posixSpawnFileActionsDestroy(fileActions);
  }
  return pid.readInt32LE(0);
};

/** Room for a posix_spawn_file_actions_t, of which glibc uses 80 bytes and musl as many. */
const SIZEOF_POSIX_SPAWN_FILE_ACTIONS = 256;

/**
 * Address of a Buffer's first byte, for a structure that points to another one.
 *
 * @param buffer - over an ArrayBuffer of its own: V8 may move a small one made with `Buffer.alloc`
 */
export const addressOf = (buffer: Buffer): bigint => calls().addressOf(buffer);

/**
 * Copies bytes from an address of this process, such as that of a mapping.
 *
 * @param address - of at least as many readable bytes: any other ends the process
 */
export const copyFrom = (address: bigint, into: Buffer): void => {
  calls().copyFrom(into, address);
};

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
  syscall: (number: number, args: readonly (number | bigint)[]) => Answer;
  fastSyscall: (number: number, args: readonly number[]) => number;
  ptrace: (request: number, tid: number, address: number, data: number) => number;
  waitpid: (tid: number, status: number, options: number) => number;
  socket: (family: number, type: number, protocol: number) => Answer;
  connect: (fd: number, address: Buffer, length: number) => Answer;
  bind: (fd: number, address: Buffer, length: number) => Answer;
  listen: (fd: number, backlog: number) => Answer;
  accept4: (fd: number, address: 0, length: 0, flags: number) => Answer;
  getsockopt: (fd: number, level: number, option: number, value: Buffer, length: Buffer) => Answer;
  sendmsg: (fd: number, header: Buffer, flags: number) => Answer;
  recvmsg: (fd: number, header: Buffer, flags: number) => Answer;
  poll: (fds: Buffer, count: number, timeout: number) => Answer;
  pollInBackground: (fds: Buffer, count: number, timeout: number) => Promise<Answer>;
  eventfd: (initial: number, flags: number) => Answer;
  pipe2: (fds: Buffer, flags: number) => Answer;
  posixSpawn: (
    pid: Buffer,
    path: string,
    fileActions: Buffer,
    attributes: 0,
    argv: Buffer,
    envp: Buffer,
  ) => Answer;
  posixSpawnFileActionsInit: (fileActions: Buffer) => Answer;
  posixSpawnFileActionsDestroy: (fileActions: Buffer) => Answer;
  posixSpawnFileActionsAdddup2: (fileActions: Buffer, fd: number, as: number) => Answer;
  addressOf: (buffer: Buffer) => bigint;
  copyFrom: (into: Buffer, address: bigint) => void;
}

let bound: Calls | undefined;

/** Loading ffi-rs takes longer than reading all of sysfs, so that only happens when a call is made. */
const calls = (): Calls => (bound ??= callLog === null ? bind(load()) : callLog.logged(bind(load())));

const load = (): typeof FfiRs => {
  try {
    const ffi = withoutReport(() => createRequire(import.meta.url)('ffi-rs') as typeof FfiRs);
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
 * ffi-rs has Node write a whole diagnostic report only to learn whether the C library is musl, which takes most of the
 * time in which it loads. It is given what it looks at.
 */
const withoutReport = <T>(load: () => T): T => {
  const {report} = process;
  const getReport = report.getReport.bind(report);
  const isMusl = readFileSync('/proc/self/maps', 'latin1').includes('/ld-musl-');
  report.getReport = () => ({header: isMusl ? {} : {glibcVersionRuntime: 'any'}});
  try {
    return load();
  } finally {
    report.getReport = getReport;
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
  // A call described anew each time takes a third longer, and the owner of a VM may be waiting.
  const returningInt = (funcName: string, ...paramsType: FfiRs.FieldType[]) => {
    const call: FfiRs.FFIParams<FfiRs.DataType.I32, true> = {
      library: 'libc',
      funcName,
      retType: I32,
      paramsType,
      paramsValue: [],
      errno: true,
    };
    return (...paramsValue: unknown[]): Answer => {
      call.paramsValue = paramsValue;
      const {value, errnoCode} = load(call);
      return new Answer(value, errnoCode);
    };
  };
  /** syscall(2) of so many arguments. */
  const callWith = (arity: number): FfiRs.FFIParams<FfiRs.DataType.I64, true> => ({
    library: 'libc',
    funcName: 'syscall',
    retType: I64,
    paramsType: Array.from({length: 1 + arity}, () => I64),
    paramsValue: [],
    errno: true,
  });
  const [callOfFour, callOfSix] = [callWith(4), callWith(6)];
  const withoutErrno = (funcName: string, ...paramsType: FfiRs.DataType[]) => {
    const call: FfiRs.FFIParams<FfiRs.DataType.I32> = {
      library: 'libc',
      funcName,
      retType: I32, // ptrace's long is one, in all requests but those that peek
      paramsType,
      paramsValue: [],
    };
    return (...paramsValue: unknown[]): number => {
      call.paramsValue = paramsValue;
      return load(call);
    };
  };
  const fast = withoutErrno('syscall', I64, I64, I64, I64, I64, I64, I64);
  return {
    open: returningInt('open', STRING, I32),
    close: returningInt('close', I32),
    ioctlAt: returningInt('ioctl', I32, I64, BYTES),
    ioctlOf: returningInt('ioctl', I32, I64, I64_EXACT),
    socket: returningInt('socket', I32, I32, I32),
    connect: returningInt('connect', I32, BYTES, I32),
    bind: returningInt('bind', I32, BYTES, I32),
    listen: returningInt('listen', I32, I32),
    accept4: returningInt('accept4', I32, I64, I64, I32),
    getsockopt: returningInt('getsockopt', I32, I32, I32, BYTES, BYTES),
    // these two return a long, of which no message needs the upper half
    sendmsg: returningInt('sendmsg', I32, BYTES, I32),
    recvmsg: returningInt('recvmsg', I32, BYTES, I32),
    poll: returningInt('poll', BYTES, I64, I32),
    pollInBackground: async (...paramsValue) => {
      const {value, errnoCode} = await load<FfiRs.DataType.I32, true, true>({
        library: 'libc',
        funcName: 'poll',
        retType: I32,
        paramsType: [BYTES, I64, I32],
        paramsValue,
        errno: true,
        runInNewThread: true,
      });
      return new Answer(value, errnoCode);
    },
    eventfd: returningInt('eventfd', I32, I32),
    syscall: (number, [a = 0, b = 0, c = 0, d = 0, ...more]) => {
      const call = more.length === 0 ? callOfFour : callOfSix;
      const [e = 0, f = 0] = more;
      call.paramsValue =
        more.length === 0
          ? [number, Number(a), Number(b), Number(c), Number(d)]
          : [number, Number(a), Number(b), Number(c), Number(d), Number(e), Number(f)];
      const {value, errnoCode} = load(call);
      return new Answer(value, errnoCode);
    },
    fastSyscall: (number, [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0]) => fast(number, a, b, c, d, e, f),
    ptrace: withoutErrno('ptrace', I32, I32, I64, I64),
    waitpid: withoutErrno('waitpid', I32, I64, I32),
    pipe2: returningInt('pipe2', BYTES, I32),
    posixSpawn: returningInt('posix_spawn', BYTES, STRING, BYTES, I64, BYTES, BYTES),
    posixSpawnFileActionsInit: returningInt('posix_spawn_file_actions_init', BYTES),
    posixSpawnFileActionsDestroy: returningInt('posix_spawn_file_actions_destroy', BYTES),
    posixSpawnFileActionsAdddup2: returningInt('posix_spawn_file_actions_adddup2', BYTES, I32, I32),
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
    copyFrom: (into, address) => {
      load({
        library: 'libc',
        funcName: 'memmove',
        retType: I64_EXACT,
        paramsType: [BYTES, I64_EXACT, I64],
        paramsValue: [into, address, into.length],
      });
    },
  };
};

const int32 = (value: number): number => {
  if ((value | 0) !== value) throw new RangeError(`${value} is not a 32-bit integer`);
  return value;
};

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? '';
