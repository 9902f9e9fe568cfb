import {SYSCALLS_X64, type SyscallName} from '../../linux/syscalls.js';

/** What a stop does to a thread that waits in a system call. */
export type AfterStop =
  /** The kernel makes the call again by itself (ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK). */
  | 'restarts'
  /** It fails with EINTR and has moved nothing, so it may be made again. That is seen if kvfio is killed before. */
  | 'fails'
  /** The same, or it ends with a part of what it was to do, which cannot be undone. */
  | 'ends-early';

/** @param canWrite - whether the thread may write at an address */
type Row = AfterStop | ((args: readonly bigint[], canWrite: (address: bigint) => boolean) => AfterStop);

/** The time that is left is written there; where it cannot be, the call fails for good (poll_select_finish in fs/select.c). */
const restartsWhenWritten =
  (timeout: number): Row =>
  (args, canWrite) => {
    const address = args[timeout] ?? 0n;
    return address === 0n || canWrite(address) ? 'restarts' : 'fails';
  };

/** It may have some of several things when it is interrupted. */
const failsForOne =
  (count: number, otherwise: AfterStop = 'fails'): Row =>
  (args) =>
    (args[count] ?? 0n) > 1n ? 'ends-early' : otherwise;

/** With MSG_WAITALL it may have some of the bytes. */
const failsUnlessWaitingForAll =
  (flags: number): Row =>
  (args) =>
    ((args[flags] ?? 0n) & MSG_WAITALL) === 0n ? 'fails' : 'ends-early';

/**
 * The calls in which a thread can wait, and be interrupted, for long. On a socket that has a timeout they fail instead of being
 * made again (sock_intr_errno in include/net/sock.h). A timeout of a call that is made again begins anew.
 */
const WAITING: Partial<Record<SyscallName, Row>> = {
  // kernel/futex: after a requeue, FUTEX_WAIT_REQUEUE_PI ends with EWOULDBLOCK
  futex: (args) => (((args[1] ?? 0n) & FUTEX_CMD_MASK) === FUTEX_WAIT_REQUEUE_PI ? 'ends-early' : 'restarts'),
  futex_waitv: 'restarts',
  // fs/select.c
  poll: 'restarts',
  ppoll: restartsWhenWritten(2),
  select: restartsWhenWritten(4),
  pselect6: restartsWhenWritten(4),
  // kernel/time, kernel/exit.c, kernel/signal.c
  nanosleep: 'restarts',
  clock_nanosleep: 'restarts',
  wait4: 'restarts',
  waitid: 'restarts',
  pause: 'restarts',
  rt_sigsuspend: 'restarts',
  rt_sigtimedwait: 'fails',
  // ipc
  msgsnd: 'restarts',
  msgrcv: 'restarts',
  mq_timedsend: 'restarts',
  mq_timedreceive: 'restarts',
  semop: 'fails',
  semtimedop: 'fails',
  // fs/locks.c, fs/pipe.c (fifo_open)
  flock: 'restarts',
  fcntl: 'restarts',
  open: 'restarts',
  openat: 'restarts',
  // fs/eventpoll.c, fs/aio.c, io_uring (io_cqring_wait): what it has submitted, io_uring_enter answers with
  epoll_wait: 'fails',
  epoll_pwait: 'fails',
  epoll_pwait2: 'fails',
  io_getevents: failsForOne(1),
  io_pgetevents: failsForOne(1, 'restarts'),
  io_uring_enter: (args) => ((args[1] ?? 0n) & U32 ? 'ends-early' : 'fails'),
  // fs/read_write.c, net/socket.c, fs/splice.c
  read: 'fails',
  readv: 'fails',
  preadv2: 'fails',
  accept: 'fails',
  accept4: 'fails',
  connect: 'fails',
  recvfrom: failsUnlessWaitingForAll(3),
  recvmsg: failsUnlessWaitingForAll(2),
  recvmmsg: failsForOne(2),
  tee: 'fails',
  write: 'ends-early',
  writev: 'ends-early',
  pwritev2: 'ends-early',
  sendto: 'ends-early',
  sendmsg: 'ends-early',
  sendmmsg: 'ends-early',
  sendfile: 'ends-early',
  splice: 'ends-early',
  vmsplice: 'ends-early',
};

const BY_NUMBER: ReadonlyMap<number, Row> = new Map(
  Object.entries(WAITING).map(([name, row]) => [SYSCALLS_X64[name as SyscallName], row]),
);

/** What a stop does to a call; null when that is not known. */
export const afterStop = (
  number: number,
  args: readonly bigint[],
  canWrite: (address: bigint) => boolean,
): AfterStop | null => {
  const row = BY_NUMBER.get(number);
  return typeof row === 'function' ? row(args, canWrite) : (row ?? null);
};

/** Whether a call that a stop made fail with EINTR may be made again. */
export const mayBeMadeAgain = (number: number): boolean => BY_NUMBER.has(number);

const MSG_WAITALL = 0x100n;
/** include/uapi/linux/futex.h */
const FUTEX_CMD_MASK = 0x7fn;
const FUTEX_WAIT_REQUEUE_PI = 11n;
const U32 = 0xffffffffn;
