import {readlinkSync} from 'node:fs';
import {Failure} from '../../failure.js';
import type {Descriptor} from '../../linux/descriptor.js';
import {isByteLocked, lockByteAlone} from '../../linux/lock/byte-lock.js';
import {EM_X86_64} from '../../linux/proc/elf.js';
import {SyscallError} from '../../linux/errno.js';
import {gathers} from '../../linux/gathering.js';
import {shareDescriptors} from '../../linux/proc/kcmp.js';
import {ProcessMemory} from '../../linux/memory.js';
import {pause} from '../../linux/pause.js';
import {Pidfd} from '../../linux/proc/pidfd.js';
import {Process} from '../../linux/proc/process.js';
import type {PtraceObserver} from '../../linux/trace/ptrace.js';
import {
  SECCOMP_MODE_STRICT,
  threadCandidates,
  hasShadowStack,
  readTask,
  type Candidate,
  type OwnerThread,
} from './candidates.js';
import {findCodeSites, type CodeSites} from './code-sites.js';
import {KVM_RUN} from './interrupted-call.js';
import {permissionFailure} from './permission.js';
import {refusal, refuseOwner, unanswered, unread, type Reason, type Subject} from './refusals.js';
import {RunningThreads} from './running-threads.js';
import {spareMemory, whyNoSpare, type NoSpare, type SpareMemory} from './spare-memory.js';
import {stopThread} from './stop-thread.js';
import type {StoppedThread} from './stopped-thread.js';
import {AnswerUnread, NoAnswer, ThreadGone, whileThere} from './thread-errors.js';
import {LASTING, NO_SPARE, noUsableThread, type Unusable} from './unusable.js';

interface Manner {
  /** Milliseconds. */
  patience: number;
  suspendSeccomp: boolean;
  observe: PtraceObserver;
  /** Whether the process still is what its user takes it for. */
  isRight: () => boolean;
}

/** The process that owns a VM, held by its pidfd, and whose threads can be stopped. */
export class OwnerProcess implements Disposable {
  readonly pidfd: Pidfd;
  readonly process: Process;
  readonly #subject: Subject;
  readonly #manner: Manner;
  #sites: CodeSites;

  /**
   * Checks all that can be checked from outside.
   *
   * @throws {@link Failure}
   */
  static open(pid: number, manner: Manner): OwnerProcess {
    const subject = {pid, comm: ''};
    if (process.arch !== 'x64') throw refuseOwner(subject, refusal.architecture(process.arch));
    if (pid === process.pid) throw refuseOwner(subject, refusal.itself());
    if (readlinkSync('/proc/self') !== String(process.pid)) throw refuseOwner(subject, refusal.otherProc());
    return whileReading(subject, () => {
      const pidfd = Pidfd.open(pid);
      try {
        return new OwnerProcess(pidfd, new Process(pid), manner);
      } catch (error) {
        pidfd[Symbol.dispose]();
        throw error;
      }
    });
  }

  private constructor(pidfd: Pidfd, owner: Process, manner: Manner) {
    this.pidfd = pidfd;
    this.process = owner;
    this.#manner = manner;
    this.#subject = {pid: pidfd.pid, comm: owner.comm()};
    this.#checkState();
    this.#checkProgram();
    this.#sites = this.#findCode();
  }

  get pid(): number {
    return this.pidfd.pid;
  }

  [Symbol.dispose](): void {
    this.pidfd[Symbol.dispose]();
  }

  /** Reads something of the process, which may end meanwhile. */
  reading<T>(read: (process: Process) => T): T {
    return whileReading(this.#subject, () => read(this.process));
  }

  /** A descriptor of it as one of kvfio's own. */
  take(fd: number): Descriptor {
    return whileReading(this.#subject, () => this.pidfd.getfd(fd));
  }

  /** Stops the thread that this disturbs least, works with it, and lets it go as it was. */
  whileStopped<T>(work: (thread: StoppedThread) => T): T {
    return whileReading(
      this.#subject,
      () => {
        using memory = this.#memory();
        const thread = this.#stop(memory);
        let result: T;
        try {
          this.#confirm();
          result = work(thread);
        } catch (error) {
          releaseQuietly(thread);
          throw error;
        }
        thread.release();
        return result;
      },
      this.#manner.patience,
    );
  }

  /**
   * Works with a thread that is stopped.
   *
   * @throws {@link Failure} when the thread does not come back from a call, or its answer cannot be read, so that others
   *   know what it was in the middle of
   */
  answering<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (error instanceof AnswerUnread) throw unread(this.#subject, error);
      if (!(error instanceof NoAnswer)) throw error;
      throw unanswered(this.#subject, error, this.#manner.patience / 1000);
    }
  }

  /** Checks that the process is the right one. Called while a thread is held: before that the process may execute another program. */
  #confirm(): void {
    if (!this.#manner.isRight()) throw refuseOwner(this.#subject, refusal.gone());
  }

  /** The owner's memory, with a lock on it: spare memory in it is for one kvfio at a time. */
  #memory(): ProcessMemory {
    const memory = new ProcessMemory(this.pid, CODE_AND_MARK);
    try {
      const giveUp = performance.now() + WORKED_ON;
      while (!lockByteAlone(memory.file, 0n)) {
        if (performance.now() > giveUp) throw refuseOwner(this.#subject, refusal.traced('another kvfio'));
        pause(1);
      }
      return memory;
    } catch (error) {
      memory[Symbol.dispose]();
      throw error;
    }
  }

  #stop(memory: ProcessMemory): StoppedThread {
    return this.#firstThat(
      () => this.#orRefused(whileThere(() => spareMemory(this.process, memory))),
      (task, spare) => this.#tryToStop(task, memory, spare),
    );
  }

  /**
   * Throws what {@link whileStopped} would, as far as that shows while nothing is stopped and nothing changed: not what seccomp filters
   * forbid, and not who uses syscall user dispatch.
   */
  foresee(): void {
    whileReading(this.#subject, () => {
      using memory = this.#memory();
      this.#firstThat(
        () => this.#orRefused(whileThere(() => whyNoSpare(this.process, memory))),
        (task) => (isFiltered(task) && !maySuspendSeccomp() ? 'filtered' : task),
      );
    });
  }

  #orRefused<T>(found: T | NoSpare): T {
    if (typeof found === 'string') throw refuseOwner(this.#subject, NO_SPARE[found as NoSpare]);
    return found;
  }

  /**
   * Tries threads, again where one was at a bad moment, for as long as there is hope.
   *
   * @param prepare - for each time
   */
  #firstThat<T extends object, P>(
    prepare: () => P,
    attempt: (task: Candidate, prepared: P) => T | Unusable,
  ): T {
    const giveUp = performance.now() + UNLUCKY_MOMENTS_MS;
    let tries = 0;
    const isOver = (): boolean => tries >= TRIES && performance.now() > giveUp;
    const running = new RunningThreads();
    const gathers = (fd: number): boolean => this.#gathers(fd);
    for (;;) {
      tries += 1;
      this.#checkState(true);
      const reasons = new Set<Unusable>();
      const prepared = prepare();
      for (const task of threadCandidates(this.process, {gathers, running})) {
        const isReady = task.syscall?.kind === 'syscall' || running.mayStop(task.tid);
        const outcome = isReady
          ? this.#unlessEnded(task.tid, () =>
              shareDescriptors(this.pid, task.tid) ? attempt(task, prepared) : null,
            )
          : 'not-watched';
        if (outcome === null) continue;
        if (typeof outcome === 'object') return outcome;
        reasons.add(outcome);
        if (isReady) tries += 1;
        if (isOver()) break;
      }
      if (reasons.has('other-code')) this.#sites = this.#findCode();
      if (this.pidfd.exited) throw refuseOwner(this.#subject, refusal.gone());
      const hopeless = reasons.size > 0 && [...reasons].every((reason) => LASTING.has(reason));
      if (hopeless || isOver()) throw refuseOwner(this.#subject, this.#whyNone(reasons));
      pause(1);
    }
  }

  /**
   * Whether a read of a descriptor gathers: what cannot be seen counts as such. A descriptor is taken only of what may: to close one again has a file system
   * of FUSE ask its server, which may be the owner.
   */
  #gathers(fd: number): boolean {
    try {
      if (!SOCKET_OR_DEVICE.test(this.process.descriptor(fd))) return false;
      using file = this.pidfd.getfd(fd);
      return gathers(file);
    } catch (error) {
      if (error instanceof SyscallError) return true;
      throw error;
    }
  }

  /** Does work on one of many threads, which may end at any time without the others. */
  #unlessEnded<T>(tid: number, work: () => T): T | 'ended' {
    try {
      return work();
    } catch (error) {
      const isOfEnd =
        error instanceof ThreadGone || (error instanceof SyscallError && error.code === 'ESRCH');
      if (!isOfEnd || this.pidfd.exited) throw error;
      // a thread that is on its way out is still listed
      const {state = 'X'} = readTask(this.process, tid)?.status ?? {};
      if (state !== 'Z' && state !== 'X') throw error;
      return 'ended';
    }
  }

  #tryToStop(task: Candidate, memory: ProcessMemory, spare: SpareMemory): StoppedThread | Unusable {
    const {tid, mayStillBe, mayStopNow} = task;
    const filtered = isFiltered(task);
    if (filtered && !maySuspendSeccomp()) return 'filtered';
    try {
      return stopThread({
        pid: this.pid,
        tid,
        memory,
        spare,
        sites: this.#sites,
        filtered,
        mayStillBe,
        mayStopNow,
        isOwners: () => this.process.has(tid) && !this.pidfd.exited,
        ...this.#manner,
      });
    } catch (error) {
      if (!(error instanceof SyscallError) || error.syscall !== 'ptrace(PTRACE_SEIZE)') throw error;
      const now = readTask(this.process, tid)?.status;
      // EPERM, while it is on its way out (ptrace_attach in kernel/ptrace.c)
      if (now === undefined || now.state === 'Z' || now.state === 'X') throw new ThreadGone(error);
      // that kvfio may trace it was seen when its memory was read
      if (error.code === 'EPERM' && (now.tracerPid ?? 0) !== 0) return 'traced';
      if (filtered) throw refuseOwner(this.#subject, refusal.seccompNotSuspended(error.code), error);
      throw permissionFailure(this.#subject, error);
    }
  }

  /** @param isAlone - this kvfio has the lock on the owner's memory, so no other one is at work */
  #checkState(isAlone = false): void {
    const {state} = this.process.status();
    if (state === 'Z' || state === 'X')
      throw refuseOwner(this.#subject, isAlone && this.#endsSoon() ? refusal.gone() : refusal.zombie());
    if (state === 'T') throw refuseOwner(this.#subject, refusal.stopped());
    const tracer = this.#tracer(isAlone);
    if (tracer !== null) throw refuseOwner(this.#subject, refusal.traced(tracer));
  }

  /** Whether the process ends within a moment: the threads of a process that is killed end one by one. */
  #endsSoon(): boolean {
    for (const giveUp = performance.now() + ENDING; performance.now() < giveUp;) {
      if (this.pidfd.exited) return true;
      pause(1);
    }
    return false;
  }

  /** The process that traces the owner for longer than another kvfio does. */
  #tracer(isAlone: boolean): string | null {
    const begin = performance.now();
    for (;;) {
      const {tracerPid} = this.process.status();
      if (tracerPid === null || tracerPid === 0) return null;
      const waited = performance.now() - begin;
      if (waited > (isAlone || !this.#isWorkedOn() ? TRACED : WORKED_ON)) return describe(tracerPid);
      pause(1);
    }
  }

  /** Whether another kvfio has the lock on the owner's memory. */
  #isWorkedOn(): boolean {
    using memory = new ProcessMemory(this.pid, CODE_AND_MARK);
    return isByteLocked(memory.file, 0n);
  }

  #checkProgram(): void {
    if (this.process.cmdline().length === 0 && this.process.maps().length === 0) {
      this.#checkState(); // it may have just ended
      // one that is ending has no memory any more either
      throw refuseOwner(
        this.#subject,
        this.process.isKernelThread() ? refusal.kernelThread() : refusal.gone(),
      );
    }
    const elf = this.process.elf();
    if (elf !== null && (elf.bits !== 64 || elf.machine !== EM_X86_64)) {
      throw refuseOwner(this.#subject, refusal.bits32());
    }
  }

  #findCode(): CodeSites {
    const sites = findCodeSites(this.process.maps(), (start, size) => this.process.memory(start, size));
    if (sites === null) throw refuseOwner(this.#subject, refusal.noCode());
    return sites;
  }

  #whyNone(reasons: ReadonlySet<Unusable>): Reason {
    const tasks = this.process.tasks().flatMap((tid) => readTask(this.process, tid) ?? []);
    const tracer = tasks.find(({status}) => (status.tracerPid ?? 0) !== 0)?.status.tracerPid;
    if (tracer != null) return refusal.traced(describe(tracer));
    if (reasons.has('filtered')) return refusal.seccompNotSuspended('EPERM');
    if (reasons.has('call-filtered')) return refusal.callFiltered();
    if (reasons.has('sigreturn-filtered')) return refusal.sigreturnFiltered();
    if (reasons.has('compat-mode')) return refusal.bits32();
    if (reasons.has('user-dispatch')) return refusal.userDispatch();
    if (tasks.some(({status}) => hasShadowStack(status))) return refusal.shadowStacks();
    if (tasks.every(({status}) => status.seccomp === SECCOMP_MODE_STRICT)) return refusal.seccompStrict();
    const inKvmRun = tasks.some(
      ({syscall}) => syscall?.kind === 'syscall' && syscall.args[1] === BigInt(KVM_RUN),
    );
    if (reasons.has('kvm-run') || (reasons.size === 0 && inKvmRun)) return refusal.onlyVcpus();
    return noUsableThread(reasons);
  }
}

/** Milliseconds for what passes by itself: an unlucky moment of a thread. */
const UNLUCKY_MOMENTS_MS = 1000;
/** Tries that are made even if they take longer than that. */
const TRIES = 20;

/** Milliseconds that a tracer may take to be seen to have let go, such as a kvfio that was killed. */
const TRACED = 3000;

/** Milliseconds that the threads of a killed process may take to end. */
const ENDING = 200;

/** Milliseconds in which other kvfios finish their work with an owner, even if they have to wait for a CPU. */
const WORKED_ON = 10_000;

/** Bytes that are compared at each stop: at most 9 and 3 of code, and the mark. */
const CODE_AND_MARK = 128;

/** What a descriptor of a socket or a terminal links to. */
const SOCKET_OR_DEVICE = /^socket:|\/(?:dev|pts)\//;

const isFiltered = ({status}: OwnerThread): boolean => (status.seccomp ?? 0) !== 0;

/** Suspending filters needs a privilege that tracing does not (check_ptrace_options in kernel/ptrace.c). */
const maySuspendSeccomp = (): boolean => {
  const {capEff, seccomp} = new Process(process.pid).status();
  return (((capEff ?? 0n) >> CAP_SYS_ADMIN) & 1n) === 1n && (seccomp ?? 0) === 0;
};

const CAP_SYS_ADMIN = 21n;

const describe = (pid: number): string => {
  try {
    return `process ${pid} (${new Process(pid).comm()})`;
  } catch {
    return `process ${pid}`;
  }
};

/** Lets a thread go after a failure that matters more than one of letting go. */
const releaseQuietly = (thread: StoppedThread): void => {
  try {
    thread.release();
  } catch (error) {
    if (!(error instanceof ThreadGone)) throw error;
  }
};

/** Turns what can happen to any process at any time into failures. */
const whileReading = <T>(subject: Subject, work: () => T, patience = 0): T => {
  try {
    return work();
  } catch (error) {
    if (error instanceof ThreadGone) throw refuseOwner(subject, refusal.gone(), error);
    if (error instanceof NoAnswer) throw unanswered(subject, error, patience / 1000);
    if (error instanceof AnswerUnread) throw unread(subject, error);
    if (error instanceof Failure || !(error instanceof SyscallError)) throw error;
    const ownReading =
      error.path?.startsWith('/proc/') === true || /^pidfd_(open|getfd)$/.test(error.syscall);
    if (!ownReading) throw error;
    if (error.code === 'ENOENT' || error.code === 'ESRCH') throw refuseOwner(subject, refusal.gone(), error);
    if (error.code === 'EACCES' || error.code === 'EPERM') throw permissionFailure(subject, error);
    throw error;
  }
};
