import {SYSCALLS_X64, type SyscallName} from '../../linux/syscalls.js';

/** What a stop does to a thread that waits in a system call. */
export type AfterStop =
  /** The kernel makes the call again by itself (ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK). */
  | 'restarts'
  /** It fails with EINTR and has moved nothing, so it may be made again. That is seen if kvfio is killed before. */
  | 'fails'
  /** The same, or it ends with a part of what it was to do, or with another error, which cannot be undone. */
  | 'ends-early';

/** What more than its arguments decides what becomes of a call. */
export interface CallSurroundings {
  /** Whether the thread may write at an address. */
  canWrite: (address: bigint) => boolean;
  /** Whether a read of a descriptor gathers: it waits for more than one byte, and may have some of them when it is interrupted. */
  gathers: (fd: number) => boolean;
}

type Row = AfterStop | ((args: readonly bigint[], surroundings: CallSurroundings) => AfterStop);

/** The time that is left is written there; where it cannot be, the call fails for good (poll_select_finish in fs/select.c). */
const restartsWhenWritten =
  (timeout: number): Row =>
  (args, {canWrite}) => {
    const address = args[timeout] ?? 0n;
    return address === 0n || canWrite(address) ? 'restarts' : 'fails';
  };

/** The time that is left is written there, and that it cannot be is an error (nanosleep_copyout in kernel/time/hrtimer.c). */
const restartsUnlessUnwritable =
  (remainder: number): Row =>
  (args, {canWrite}) => {
    const address = args[remainder] ?? 0n;
    return address === 0n || canWrite(address) ? 'restarts' : 'ends-early';
  };

/** A FUSE file system passes the interrupt to its server, which may answer with EINTR (request_wait_answer in fs/fuse/dev.c), or have made the file. */
const failsUnlessMaking =
  (flags: number): Row =>
  (args) =>
    ((args[flags] ?? 0n) & O_EXCL) === 0n ? 'fails' : 'ends-early';

/** It may have some of the bytes, from a descriptor that gives no less than a number of them. */
const failsUnlessGathering: Row = ([fd = 0n], {gathers}) =>
  gathers(Number(fd & U32)) ? 'ends-early' : 'fails';

/** The same with MSG_WAITALL. */
const failsUnlessWaitingForAll =
  (flags: number): Row =>
  (args, surroundings) =>
    ((args[flags] ?? 0n) & MSG_WAITALL) === 0n ? failsUnlessGathering(args, surroundings) : 'ends-early';

/** It may have some of several things when it is interrupted. */
const failsForOne =
  (count: number, forOne: Row = 'fails'): Row =>
  (args, surroundings) => {
    if ((args[count] ?? 0n) > 1n) return 'ends-early';
    return typeof forOne === 'function' ? forOne(args, surroundings) : forOne;
  };

/**
 * The calls in which a thread can wait, and be interrupted, for long. On a socket that has a timeout they fail instead of being
 * made again (sock_intr_errno in include/net/sock.h). A timeout of a call that is made again begins anew.
 *
 * From the kernel's source, 6.1 and 7.3: all that answers ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK or EINTR,
 * or looks at signal_pending(). A call that is not here is taken for one that may do anything.
 */
const WAITING: Partial<Record<SyscallName, Row>> = {
  // kernel/futex: after a requeue, FUTEX_WAIT_REQUEUE_PI ends with EWOULDBLOCK
  futex: (args) => (((args[1] ?? 0n) & FUTEX_CMD_MASK) === FUTEX_WAIT_REQUEUE_PI ? 'ends-early' : 'restarts'),
  futex_waitv: 'restarts',
  futex_wait: 'restarts',
  // fs/select.c
  poll: 'restarts',
  ppoll: restartsWhenWritten(2),
  select: restartsWhenWritten(4),
  pselect6: restartsWhenWritten(4),
  // kernel/time, kernel/exit.c, kernel/signal.c
  nanosleep: restartsUnlessUnwritable(1),
  clock_nanosleep: restartsUnlessUnwritable(3),
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
  // on 9p, a lock that was waited for is then not had, which is no EINTR (v9fs_file_do_lock in fs/9p/vfs_file.c)
  flock: 'ends-early',
  fcntl: 'ends-early',
  // fs/pipe.c (fifo_open)
  open: failsUnlessMaking(1),
  openat: failsUnlessMaking(2),
  // fs/eventpoll.c, fs/aio.c
  epoll_wait: 'fails',
  epoll_pwait: 'fails',
  epoll_pwait2: 'fails',
  io_getevents: failsForOne(1),
  io_pgetevents: failsForOne(1, 'restarts'),
  // io_uring: it answers with what it has submitted, and with 0 where it waits for room only (io_sqpoll_wait_sq in sqpoll.c), or has
  // one of several completions (io_cqring_wait in io_uring.c or wait.c)
  io_uring_enter: ([, submitted = 0n, least = 0n, flags = 0n]) =>
    (submitted & U32) === 0n && (least & U32) <= 1n && (flags & IORING_ENTER_SQ_WAIT) === 0n
      ? 'fails'
      : 'ends-early',
  // fs/read_write.c, net/socket.c, fs/splice.c
  read: failsUnlessGathering,
  readv: failsUnlessGathering,
  preadv2: failsUnlessGathering,
  accept: 'fails',
  accept4: 'fails',
  // of a VM's socket, it gives the connection up (vsock_connect in net/vmw_vsock/af_vsock.c)
  connect: 'ends-early',
  recvfrom: failsUnlessWaitingForAll(3),
  recvmsg: failsUnlessWaitingForAll(2),
  recvmmsg: failsForOne(2, failsUnlessWaitingForAll(3)),
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
  // mm/shmem.c, mm/hugetlb.c: what it has made is found there when it is made again
  fallocate: 'ends-early',
};

const BY_NUMBER: ReadonlyMap<number, Row> = new Map(
  Object.entries(WAITING).map(([name, row]) => [SYSCALLS_X64[name as SyscallName], row]),
);

/** What a stop does to a call; null when that is not known. */
export const afterStop = (
  number: number,
  args: readonly bigint[],
  surroundings: CallSurroundings,
): AfterStop | null => {
  const row = BY_NUMBER.get(number);
  return typeof row === 'function' ? row(args, surroundings) : (row ?? null);
};

/**
 * Whether a call has failed as it does when a stop ends it, and may be made again: with EINTR, or where it could not say what
 * is left of its time. One that fails with EFAULT by itself fails in the same way again.
 */
export const mayBeMadeAgain = (number: number, answer: number): boolean =>
  (answer === EINTR && BY_NUMBER.has(number)) || (answer === EFAULT && SLEEPS.has(number));

const SLEEPS: ReadonlySet<number> = new Set([SYSCALLS_X64.nanosleep, SYSCALLS_X64.clock_nanosleep]);

const EINTR = -4;
const EFAULT = -14;

const MSG_WAITALL = 0x100n;
/** include/uapi/linux/futex.h */
const FUTEX_CMD_MASK = 0x7fn;
const FUTEX_WAIT_REQUEUE_PI = 11n;
/** include/uapi/asm-generic/fcntl.h */
const O_EXCL = 0o200n;
/** include/uapi/linux/io_uring.h */
const IORING_ENTER_SQ_WAIT = 1n << 2n;
const U32 = 0xffffffffn;
