import type {Registers} from '../../linux/registers.js';
import {SYSCALLS_X64} from '../../linux/syscalls.js';

/** How a thread goes on that was stopped, wherever it was. */
export interface GoingOn {
  /** For ptrace to put back: the kernel then restarts an interrupted call by itself. */
  registers: Registers;
  /** For rt_sigreturn, which takes part in no restart: a restart is an ordinary call made again. */
  inFrame: Registers;
}

/**
 * Finds how a stopped thread is to go on. The kernel leaves the wish for a restart in rax
 * (arch_do_signal_or_restart in arch/x86/kernel/signal.c).
 *
 * @param code - the {@link SIZE_OF_CODE} bytes before rip, where the thread was in restart_syscall
 * @returns null when the thread waits in restart_syscall and its code does not show which call that continues
 */
export const goingOn = (registers: Registers, code: Buffer): GoingOn | null => {
  if (registers.getSigned('orig_rax') < 0) return {registers, inFrame: registers};
  const number = registers.getSigned('orig_rax');
  const made = (call: number): Registers =>
    registers.with({rip: registers.get('rip') - SYSCALL_INSTRUCTION, rax: BigInt(call)});

  switch (registers.getSigned('rax')) {
    case ERESTARTSYS:
    case ERESTARTNOINTR:
    case ERESTARTNOHAND:
      return {registers, inFrame: made(number)};
    case ERESTART_RESTARTBLOCK: {
      const original = number === SYSCALLS_X64.restart_syscall ? continued(code) : number;
      return original === null ? null : {registers, inFrame: made(original)};
    }
    case EINTR:
      // A stop interrupts these for good although no signal has come. With ERESTARTNOHAND the kernel makes the call
      // again, unless it has a signal for a handler; then that call fails with EINTR, as it should.
      if (!FAILS_WHEN_STOPPED.has(number) && !isKvmRun(registers)) return {registers, inFrame: registers};
      return {registers: registers.with({rax: BigInt(ERESTARTNOHAND)}), inFrame: made(number)};
    default:
      return {registers, inFrame: registers};
  }
};

/** Whether a stopped thread was in KVM_RUN, and so is a vCPU's. */
export const isKvmRun = (registers: Registers): boolean =>
  registers.getSigned('orig_rax') === SYSCALLS_X64.ioctl && registers.get('rsi') === BigInt(KVM_RUN);

/** Whether a call returned the wish to be made again, which no program ever sees. */
export const wantsRestart = (answer: number): boolean =>
  answer <= ERESTARTSYS && answer >= ERESTART_RESTARTBLOCK && answer !== ENOIOCTLCMD;

/** _IO(KVMIO, 0x80), from include/uapi/linux/kvm.h. */
export const KVM_RUN = 0xae80;

const EINTR = -4;
// include/linux/errno.h
const ERESTARTSYS = -512;
const ERESTARTNOINTR = -513;
const ERESTARTNOHAND = -514;
const ENOIOCTLCMD = -515;
const ERESTART_RESTARTBLOCK = -516;

/** `0f 05` */
const SYSCALL_INSTRUCTION = 2n;

/**
 * Calls that a stop makes fail with EINTR even without a handler, see signal(7), and that may be made again then: those
 * that never restart, and those on a socket that do not when it has a timeout (sock_intr_errno in include/net/sock.h).
 * With EINTR they have moved nothing. The timeout begins anew.
 */
export const FAILS_WHEN_STOPPED: ReadonlySet<number> = new Set([
  SYSCALLS_X64.semop,
  SYSCALLS_X64.rt_sigtimedwait,
  SYSCALLS_X64.io_getevents,
  SYSCALLS_X64.semtimedop,
  SYSCALLS_X64.epoll_wait,
  SYSCALLS_X64.epoll_pwait,
  SYSCALLS_X64.io_pgetevents,
  SYSCALLS_X64.epoll_pwait2,
  SYSCALLS_X64.read,
  SYSCALLS_X64.readv,
  SYSCALLS_X64.recvfrom,
  SYSCALLS_X64.recvmsg,
  SYSCALLS_X64.recvmmsg,
  SYSCALLS_X64.accept,
  SYSCALLS_X64.accept4,
  SYSCALLS_X64.connect,
  SYSCALLS_X64.write,
  SYSCALLS_X64.writev,
  SYSCALLS_X64.sendto,
  SYSCALLS_X64.sendmsg,
  SYSCALLS_X64.sendmmsg,
  SYSCALLS_X64.msgsnd,
  SYSCALLS_X64.msgrcv,
]);

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
