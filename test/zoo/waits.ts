/** Calls that calls.c waits in, in which kvfio may stop its thread. */
export const STOPPABLE = [
  ...['futex', 'futex bitset', 'futex_waitv', 'futex_wait'],
  ...['poll', 'ppoll', 'ppoll, constant time', 'select', 'pselect6'],
  ...['pselect6, constant time', 'nanosleep', 'clock_nanosleep', 'clock_nanosleep until', 'rt_sigtimedwait'],
  ...['epoll_wait', 'epoll_pwait', 'epoll_pwait2', 'io_getevents', 'io_pgetevents', 'io_uring_enter'],
  ...[
    'semtimedop',
    'semop',
    'wait4',
    'waitid',
    'pause',
    'rt_sigsuspend',
    'msgrcv',
    'msgsnd',
    'open',
    'openat',
  ],
  ...[
    'read',
    'readv',
    'tee',
    'read, timerfd',
    'read, line of a terminal',
    'read, time limit',
    'readv, time limit',
    'preadv2, time limit',
  ],
  ...['recvfrom, time limit', 'recvmsg, time limit', 'recvmmsg, time limit', 'accept, time limit'],
] as const;

/** Calls that it makes one after the other, in each of which it may be when it is stopped. */
export const WORKING = ['fallocate', 'KVM_CREATE_VM'] as const;

/** Calls of it that a stop may end for good, so that it is stopped between two of them, or not at all. */
export const NOT_STOPPABLE = [
  ...['nanosleep, constant rest', 'flock', 'fcntl, lock', 'recvfrom, all', 'connect, time limit'],
  ...['read, least', 'recvfrom, least', 'read, terminal', 'io_uring_enter, two'],
  ...['splice, time limit', 'vmsplice', 'write', 'writev', 'write, time limit'],
  ...['sendto, time limit', 'sendmsg, time limit', 'sendfile, time limit'],
] as const;
