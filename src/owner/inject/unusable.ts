import {refusal, type Reason} from './refusals.js';
import type {NoSpare} from './spare-memory.js';
import type {Unsuitable} from './stop-thread.js';

/** Why a thread is not used. */
export type Unusable =
  | Unsuitable
  /** It is another's to trace at the moment. */
  | 'traced'
  /** It has filters, which kvfio may not suspend. */
  | 'filtered'
  /** It runs, and kvfio has not watched it long enough to see what it waits in at other times. */
  | 'not-watched'
  /** It has ended since it was found. */
  | 'ended';

/** What does not pass by itself. */
export const LASTING: ReadonlySet<Unusable> = new Set([
  'filtered',
  'sigreturn-filtered',
  'call-filtered',
  'compat-mode',
  'user-dispatch',
]);

/** Reasons in words, to follow "None of its threads can be stopped and continued without a trace: one ". */
const IN_WORDS: Readonly<Record<Unusable, string>> = {
  'has-gone-on': 'began something else each time before it could be stopped',
  'not-watched': 'runs, and may at any time begin a call that a stop would end half-way',
  'not-the-owners': 'had ended, and its number passed to another process',
  'kvm-run': 'runs a vCPU',
  'restartable-sequence': 'was in a restartable sequence each time (rseq(2))',
  'no-call': 'makes no system call, and is not the first thread on its own stack',
  'group-stop': 'was being stopped by a signal',
  'user-dispatch': 'uses syscall user dispatch',
  'unknown-call': 'waits in a call that could not be continued if kvfio were killed',
  'no-stack': 'has its stack where the signal frame would be',
  'compat-mode': 'executes 32-bit code',
  'other-code': 'has lost the code that it was to execute',
  'sigreturn-filtered': 'has seccomp filters that forbid rt_sigreturn',
  'call-filtered': 'has seccomp filters that would kill it',
  traced: 'is traced already',
  filtered: 'has seccomp filters, which kvfio may not suspend',
  ended: 'ended as it was tried',
};

/** The reason for an owner of which no thread that was tried can be used. */
export const noUsableThread = (reasons: ReadonlySet<Unusable>): Reason =>
  refusal.noThread(
    reasons.size === 0
      ? 'each waits in a call that a stop would end, or cannot be interrupted'
      : [...reasons].map((reason) => `one ${IN_WORDS[reason]}`).join('; '),
  );

export const NO_SPARE: Readonly<Record<NoSpare, Reason>> = {
  'no-stack': refusal.noMemory('It has no [stack] mapping as the kernel made it (/proc/PID/maps).'),
  'no-room': refusal.noMemory(
    'Something is mapped right below where its stack may grow to (/proc/PID/maps).',
  ),
  overflown: refusal.noMemory('Its first thread uses more of its stack than its limit allows (ulimit -s).'),
  'not-added': refusal.noMemory(
    "The kernel did not add it below the owner's stack: there is too little memory (vm.overcommit_memory), or kvfio's own limit for address space or locked memory is too low (ulimit -v, -l).",
  ),
  'own-limit': refusal.ownStackLimit(),
  'address-space': refusal.addressSpaceLimit(),
  'locked-memory': refusal.lockedMemoryLimit(),
};
