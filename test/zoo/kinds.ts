import type {ZooProgram} from './programs.js';
import {NOT_STOPPABLE, STOPPABLE, WORKING} from './waits.js';

/** A kind of owner, and what becomes of it. */
export interface Kind {
  name: string;
  program: ZooProgram;
  args: readonly string[];
  /** Starts it. Where that forks, the owner is the innermost child. */
  wrap?: readonly string[];
  /** Of kvfio. */
  flags?: readonly string[];
  /** The code of the failure with which kvfio leaves it alone, where no other thread would do; by default it is served. */
  refused?: string;
  /** It may also be served, at a good moment. */
  mayBeServed?: true;
  /** kvfio is also killed after each of its ptrace requests. */
  killed?: true;
  /** Waits in a call that fails with EINTR, as after a signal, if kvfio is killed before it has had it made again. */
  isInterruptedByDeath?: true;
}

const STACKS = ['bss', 'heap', 'mmap', 'array', 'other'];
const SIZES = ['smallest', '8192', '65536', '1048576'];

const alone = (...flags: string[]): string[] => ['unshare', ...flags, '--fork', '--kill-child'];

/** What a filter answers to a call that kvfio has a thread make, if it is in force. */
const ACTIONS: readonly (readonly [action: string, isHarmless: boolean])[] = [
  ['allow', true],
  ['log', true],
  ['trace', true],
  ['errno', true],
  ['notify', false],
  ['trap', false],
  ['kill-thread', false],
  ['kill-process', false],
];

export const KINDS: readonly Kind[] = [
  {name: 'glibc, 16 threads, a third busy', program: 'threads', args: ['busy'], killed: true},
  {name: 'static glibc, 16 threads, a third busy', program: 'threads-static', args: ['busy']},
  {name: 'static musl, 16 threads, a third busy', program: 'threads-musl', args: ['busy'], killed: true},
  {
    name: 'static musl without a signal handler',
    ...{program: 'threads-musl-bare', args: ['waiting'], refused: 'OWNER_NO_CODE'},
  },
  {name: '16 threads, all waiting', program: 'threads', args: ['waiting']},
  {name: '4 threads, all spinning', program: 'threads', args: ['spinning', '4']},
  {name: '2,000 threads', program: 'threads', args: ['idle', '2000']},
  {name: 'restartable sequences', program: 'sequences', args: ['all'], killed: true},
  {name: 'spinning, with its registers compared', program: 'victim', args: ['spin'], killed: true},
  {name: 'a signal each 100 us, and queued ones', program: 'victim', args: ['signals'], killed: true},
  {name: 'a vCPU that never leaves the guest', program: 'victim', args: ['poll', 'vcpus']},
  {name: 'nothing but a vCPU', program: 'victim', args: ['vcpu'], refused: 'OWNER_ONLY_VCPUS'},
  {name: 'code that may be executed only', program: 'victim', args: ['poll', 'unreadable']},
  ...STACKS.flatMap((place) =>
    SIZES.map((size): Kind => ({
      name: `alternate stack: ${place}, ${size} bytes`,
      ...{program: 'small-stacks', args: [place, size]},
      ...(size === 'smallest' && place !== 'heap' ? {killed: true} : {}),
    })),
  ),
  {name: 'a coroutine on an array', program: 'small-stacks', args: ['coroutine'], killed: true},
  {name: 'eight coroutines that take turns', program: 'small-stacks', args: ['coroutines'], killed: true},
  {name: 'a thread on a stack in .bss', program: 'small-stacks', args: ['thread']},
  {name: 'Go', program: 'go', args: ['all'], killed: true},
  {name: 'JVM', program: 'java', args: ['all'], killed: true},
  {name: 'vfork children of its only thread', program: 'children', args: ['first'], killed: true},
  {name: 'vfork children of another thread', program: 'children', args: ['other']},
  ...(
    [
      ['io_uring', 'plain'],
      ['io_uring, polled by the kernel', 'polled'],
      ["io_uring, with the kernel's workers", 'workers'],
    ] as const
  ).map(([name, how]): Kind => ({
    name,
    ...{program: 'uring', args: [how], killed: true, isInterruptedByDeath: true},
  })),
  {name: 'pid namespace', program: 'threads', args: ['busy'], wrap: alone('--pid')},
  {
    name: 'user namespace',
    program: 'threads',
    args: ['busy'],
    wrap: alone('--user', '--map-root-user', '--pid'),
  },
  {name: 'three VMs in a process', program: 'machines', args: ['all']},
  ...ACTIONS.flatMap(([action, isHarmless]): Kind[] => [
    {
      name: `seccomp ${action}`,
      ...{program: 'filters', args: [action]},
      ...(isHarmless ? {} : {refused: 'OWNER_SECCOMP_CALL'}),
    },
    {
      name: `seccomp ${action}, also for rt_sigreturn`,
      ...{program: 'filters', args: [action, 'sigreturn']},
      ...(action === 'allow' || action === 'log' ? {} : {refused: 'OWNER_SECCOMP_SIGRETURN'}),
    },
    {
      name: `seccomp ${action}, and a thread without`,
      program: 'filters',
      args: [action, 'sigreturn', 'free'],
    },
    {name: `seccomp ${action}, suspended`, program: 'filters', args: [action], flags: ['--suspend-seccomp']},
  ]),
  {name: 'seccomp strict', program: 'filters', args: ['strict'], refused: 'OWNER_SECCOMP_STRICT'},
  // where it is slow it may never be seen but where it cannot be interrupted
  ...WORKING.map((call): Kind => ({
    name: `works in ${call}`,
    ...{program: 'calls', args: [call], refused: 'OWNER_NO_THREAD', mayBeServed: true},
  })),
  ...STOPPABLE.map((call): Kind => ({name: `waits in ${call}`, program: 'calls', args: [call]})),
  ...NOT_STOPPABLE.flatMap((call): Kind[] => [
    {
      name: `waits in ${call}`,
      ...{program: 'calls', args: [call], refused: 'OWNER_NO_THREAD', mayBeServed: true},
    },
    {name: `waits in ${call}, and a thread in poll`, program: 'calls', args: [call, 'free']},
  ]),
  {name: 'QEMU', program: 'qemu', args: []},
  {name: 'QEMU, paused', program: 'qemu', args: ['-S']},
  {name: 'QEMU -sandbox on', program: 'qemu', args: ['-sandbox', 'on'], killed: true},
  {name: 'QEMU -sandbox on, during a block job', program: 'qemu', args: ['job', '-sandbox', 'on']},
];
