import type {Registers} from '../../linux/trace/registers.js';
import {SYSCALLS_X64} from '../../linux/syscalls.js';
import {mayBeMadeAgain} from './waiting-calls.js';

/**
 * Registers with which a thread that was interrupted makes its call again. The kernel leaves the wish for that in rax, and
 * fulfils it by itself (arch_do_signal_or_restart in arch/x86/kernel/signal.c); only some calls have failed for good even though
 * no signal has come. With ERESTARTNOHAND the kernel makes these again, too, unless it has a signal for a handler; then the
 * call fails with EINTR, as it should.
 *
 * @returns the same object where nothing is to be changed
 */
export const madeAgain = (registers: Registers): Registers => {
  const number = registers.getSigned('orig_rax');
  if (number < 0) return registers;
  const answer = registers.getSigned('rax');
  if (!mayBeMadeAgain(number, answer) && !(answer === EINTR && isOfKvm(registers))) return registers;
  return registers.with({rax: BigInt(ERESTARTNOHAND)});
};

/**
 * The call that a thread is to make if rt_sigreturn restores it at the entry of one: that same call, but for
 * restart_syscall, which rt_sigreturn makes fail with EINTR (restore_sigcontext in arch/x86/kernel/signal_64.c).
 *
 * @param stopped - the thread's registers when it was interrupted
 * @param entered - at the entry of the call
 * @param code - reads the {@link SIZE_OF_CODE} bytes before rip
 * @returns null when it is restart_syscall, and the code does not show which call that continues
 */
export const callToMake = (stopped: Registers, entered: Registers, code: () => Buffer): number | null => {
  const number = entered.getSigned('orig_rax');
  if (number !== SYSCALLS_X64.restart_syscall) return number;
  if (stopped.getSigned('rax') !== ERESTART_RESTARTBLOCK) return null;
  const interrupted = stopped.getSigned('orig_rax');
  return interrupted === SYSCALLS_X64.restart_syscall ? continued(code()) : interrupted;
};

/** Whether a stopped thread was in KVM_RUN, and so is a vCPU's. */
export const isKvmRun = (registers: Registers): boolean =>
  registers.getSigned('orig_rax') === SYSCALLS_X64.ioctl && registers.get('rsi') === BigInt(KVM_RUN);

/**
 * Whether a thread was in a request to KVM. One that fails with EINTR has changed nothing, as KVM_CREATE_VM (mm_take_all_locks), or has
 * written into its argument how far it came, as KVM_PRE_FAULT_MEMORY.
 */
const isOfKvm = (registers: Registers): boolean =>
  registers.getSigned('orig_rax') === SYSCALLS_X64.ioctl && ((registers.get('rsi') >> 8n) & 0xffn) === KVMIO;

/** Whether a call returned the wish to be made again, which no program ever sees. */
export const wantsRestart = (answer: number): boolean =>
  answer <= ERESTARTSYS && answer >= ERESTART_RESTARTBLOCK && answer !== ENOIOCTLCMD;

/** include/uapi/linux/kvm.h */
const KVMIO = 0xaen;

/** _IO(KVMIO, 0x80), from include/uapi/linux/kvm.h. */
export const KVM_RUN = 0xae80;

const EINTR = -4;
// include/linux/errno.h
const ERESTARTSYS = -512;
const ERESTARTNOHAND = -514;
const ENOIOCTLCMD = -515;
const ERESTART_RESTARTBLOCK = -516;

/** Bytes of mov $NUMBER,%eax; syscall. */
export const SIZE_OF_CODE = 7;

/** Calls that the kernel continues as restart_syscall. */
const CONTINUED = [
  SYSCALLS_X64.poll,
  SYSCALLS_X64.nanosleep,
  SYSCALLS_X64.futex,
  SYSCALLS_X64.clock_nanosleep,
];

/** The call that `b8 NUMBER 0f 05` makes: mov $NUMBER,%eax; syscall. */
export const continued = (code: Buffer): number | null => {
  if (code.length !== SIZE_OF_CODE || code[0] !== 0xb8 || code.readUInt16BE(5) !== 0x0f05) return null;
  const number = code.readUInt32LE(1);
  return CONTINUED.includes(number) ? number : null;
};
