/**
 * Numbers of the system calls that kvfio makes by number, in itself or in another process, in the kernel's spelling.
 *
 * Sources: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h (arm64).
 */
const X64 = {
  read: 0,
  write: 1,
  open: 2,
  close: 3,
  poll: 7,
  mmap: 9,
  munmap: 11,
  rt_sigreturn: 15,
  ioctl: 16,
  readv: 19,
  writev: 20,
  select: 23,
  pause: 34,
  nanosleep: 35,
  sendfile: 40,
  socket: 41,
  connect: 42,
  accept: 43,
  sendto: 44,
  recvfrom: 45,
  sendmsg: 46,
  recvmsg: 47,
  bind: 49,
  setsockopt: 54,
  wait4: 61,
  semop: 65,
  msgsnd: 69,
  msgrcv: 70,
  fcntl: 72,
  flock: 73,
  ptrace: 101,
  rt_sigtimedwait: 128,
  rt_sigsuspend: 130,
  futex: 202,
  sched_setaffinity: 203,
  sched_getaffinity: 204,
  io_getevents: 208,
  restart_syscall: 219,
  semtimedop: 220,
  clock_nanosleep: 230,
  epoll_wait: 232,
  mq_timedsend: 242,
  mq_timedreceive: 243,
  waitid: 247,
  openat: 257,
  pselect6: 270,
  ppoll: 271,
  splice: 275,
  tee: 276,
  vmsplice: 278,
  epoll_pwait: 281,
  fallocate: 285,
  accept4: 288,
  perf_event_open: 298,
  recvmmsg: 299,
  prlimit64: 302,
  sendmmsg: 307,
  getcpu: 309,
  process_vm_readv: 310,
  process_vm_writev: 311,
  kcmp: 312,
  preadv2: 327,
  pwritev2: 328,
  io_pgetevents: 333,
  io_uring_enter: 426,
  pidfd_open: 434,
  pidfd_getfd: 438,
  epoll_pwait2: 441,
  futex_waitv: 449,
  futex_wait: 455,
} as const;

export type SyscallName = keyof typeof X64;

const ARM64: Partial<Record<SyscallName, number>> = {
  fcntl: 25,
  ioctl: 29,
  flock: 32,
  close: 57,
  ppoll: 73,
  ptrace: 117,
  socket: 198,
  bind: 200,
  setsockopt: 208,
  sendmsg: 211,
  recvmsg: 212,
  wait4: 260,
  process_vm_readv: 270,
  process_vm_writev: 271,
  kcmp: 272,
  pidfd_open: 434,
  pidfd_getfd: 438,
};

/** Numbers on x86-64, where kvfio makes other processes execute calls. */
export const SYSCALLS_X64: Readonly<Record<SyscallName, number>> = X64;

/** The name of a call on this machine; its number where it has none here. */
export const syscallName = (number: number): string =>
  Object.entries(process.arch === 'arm64' ? ARM64 : SYSCALLS_X64).find(([, each]) => each === number)?.[0] ??
  `syscall ${number}`;

/** The number of a call on this machine. */
export const syscallNumber = (name: SyscallName): number => {
  const number = (process.arch === 'arm64' ? ARM64 : SYSCALLS_X64)[name];
  if (number === undefined) throw new RangeError(`${name} is not a system call of ${process.arch}`);
  return number;
};
