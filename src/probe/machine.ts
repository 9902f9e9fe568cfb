import {Failure} from '../failure.js';
import {SyscallError} from '../linux/errno.js';
import {EventFd} from '../linux/eventfd.js';
import {KVM_EXITS} from '../kvm/exits.js';
import type {KvmStats} from '../kvm/statistics.js';
import {setGuestMemory, Vcpu, VcpuExits} from '../kvm/vcpu.js';
import {Kvm, type Vm} from '../kvm/system.js';
import {addressOf} from '../linux/libc.js';
import {mapIdentically} from '../kvm/long-mode.js';
import {Resources} from '../linux/resources.js';
import {noVm} from '../kvm/no-vm.js';
import {assemble, PIO_PORT, program} from './guest/program.js';
import {OPERATIONS, type Clock, type Operation} from './series.js';
import {supportsWbnoinvd} from './wbnoinvd.js';

/** The most samples that the guest takes before it halts. */
export const SLICE_MAX = 65_536;

// guest-physical addresses; all is mapped onto itself
const PROGRAMS_AT = 0x1000;
const PROGRAM_SIZE = 0x80;
const TABLES_AT = 0x10000;
const SAMPLES_AT = 0x100000;
const DIRTY_AT = 0x200000;

const SAMPLE_SIZE = 8;
const LARGE_PAGE = 2 * 1024 * 1024;

/**
 * The VM that samples are taken in: memory, and one vCPU in 64-bit mode, which runs in the thread that calls
 * {@link take}. It has no interrupts and no devices but a port that KVM itself answers.
 */
export class ProbeMachine implements Disposable {
  readonly vm: Vm;
  readonly clock: Clock;
  readonly hasWbnoinvd: boolean;
  readonly #resources = new Resources();
  readonly #vcpu: Vcpu;
  readonly #exits: VcpuExits;
  readonly #stats: KvmStats | null;
  readonly #outs: EventFd;
  /** Pairs of a lower and an upper half. */
  readonly #samples: Uint32Array;
  readonly #dirty: number;
  #milliseconds = 0;
  #runs = 0;

  /**
   * @param dirty - bytes that the guest writes to before each sample, a multiple of 64
   * @throws {@link Failure} when this host cannot run such a VM
   */
  static create(dirty = 0): ProbeMachine {
    try {
      return new ProbeMachine(dirty);
    } catch (error) {
      throw error instanceof SyscallError ? noVm(error) : error;
    }
  }

  private constructor(dirty: number) {
    const resources = this.#resources;
    try {
      using kvm = Kvm.open();
      this.vm = resources.use(kvm.createVm());
      const memory = guestMemory(DIRTY_AT + roundUp(dirty, LARGE_PAGE));
      setGuestMemory(this.vm, addressOf(memory), memory.length);
      this.#samples = new Uint32Array(memory.buffer, memory.byteOffset + SAMPLES_AT, 2 * SLICE_MAX);
      this.#dirty = dirty;

      this.#outs = resources.use(EventFd.create());
      this.vm.countOut(PIO_PORT, this.#outs);
      this.#vcpu = resources.use(Vcpu.create(this.vm.fd));
      const cpuid = kvm.supportedCpuid();
      this.hasWbnoinvd = supportsWbnoinvd(cpuid);
      this.#vcpu.setCpuid(cpuid);
      this.#vcpu.startInLongMode(TABLES_AT);
      this.#exits = resources.use(new VcpuExits(this.#vcpu, kvm.vcpuMappingSize()));
      this.clock = {tscKhz: this.#vcpu.tscKhz(), source: 'KVM_GET_TSC_KHZ'};
      this.#stats = statsOf(this.#vcpu);
      if (this.#stats !== null) resources.use(this.#stats);
    } catch (error) {
      resources[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Makes the guest take samples of an operation. A signal ends it early.
   *
   * @param count - from 1 to {@link SLICE_MAX}
   * @param into - where the ticks of each sample go, from `at`
   * @returns how many were taken
   * @throws {@link Failure} when the guest ends in another way than it should
   */
  take(operation: Operation, count: number, into: Float64Array, at: number): number {
    this.#vcpu.setRegisters({
      rip: PROGRAMS_AT + OPERATIONS.indexOf(operation) * PROGRAM_SIZE,
      rsi: count,
      rdi: SAMPLES_AT,
      r12: DIRTY_AT,
      r13: this.#dirty,
    });
    const began = performance.now();
    const taken = this.#runToHalt(operation) ? count : this.#taken();
    this.#milliseconds += performance.now() - began;
    this.#runs += 1;
    const words = this.#samples;
    for (let sample = 0; sample < taken; sample += 1)
      into[at + sample] = (words[2 * sample] ?? 0) + (words[2 * sample + 1] ?? 0) * 2 ** 32;
    return taken;
  }

  /** How long the guest has run so far. */
  get milliseconds(): number {
    return this.#milliseconds;
  }

  /** How often it was started or continued. */
  get runs(): number {
    return this.#runs;
  }

  /** Makes KVM load the vCPU's state on the CPU that this thread is on, as it does when a guest comes to another CPU. */
  visit(): void {
    this.#vcpu.getRegister('rdi');
  }

  /** How often the guest was left so far, as KVM counts (`exits`); null when this kernel does not report it. */
  exits(): bigint | null {
    return this.#stats?.read('exits') ?? null;
  }

  /** How many OUTs KVM has answered since the last time. */
  takeOuts(): bigint {
    return this.#outs.take();
  }

  [Symbol.dispose](): void {
    this.#resources[Symbol.dispose]();
  }

  /** False when a signal came first. */
  #runToHalt(operation: Operation): boolean {
    try {
      this.#vcpu.run();
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (error.code === 'EINTR') return false;
      throw stopped(operation, `KVM_RUN was answered ${error.code}`, error);
    }
    const exit = this.#exits.last();
    if (exit.reason === KVM_EXITS.KVM_EXIT_HLT) return true;
    throw stopped(operation, `KVM_RUN ended with ${exit.describe()}`);
  }

  #taken(): number {
    return (this.#vcpu.getRegister('rdi') - SAMPLES_AT) / SAMPLE_SIZE;
  }
}

/** The guest's memory with its programs and page tables. What nobody writes to uses none of the host's. */
const guestMemory = (size: number): Buffer => {
  const room = new ArrayBuffer(size + LARGE_PAGE);
  const offset = Number(-addressOf(Buffer.from(room)) & BigInt(LARGE_PAGE - 1));
  const memory = Buffer.from(room, offset, size);
  for (const [index, operation] of OPERATIONS.entries())
    assemble(program(operation)).copy(memory, PROGRAMS_AT + index * PROGRAM_SIZE);
  mapIdentically(memory.subarray(TABLES_AT, SAMPLES_AT), TABLES_AT, size);
  return memory;
};

const roundUp = (value: number, multiple: number): number => Math.ceil(value / multiple) * multiple;

/** Null before Linux 5.14, which has none. */
const statsOf = (vcpu: Vcpu): KvmStats | null => {
  try {
    return vcpu.stats();
  } catch (error) {
    if (error instanceof SyscallError && (error.code === 'ENOTTY' || error.code === 'EINVAL')) return null;
    throw error;
  }
};

/** @throws {@link Failure} on other processors */
export const requireX86 = (): void => {
  if (process.arch === 'x64') return;
  throw new Failure({
    code: 'NO_WBINVD',
    kind: 'cannotDecide',
    what: 'There is nothing to probe on this processor.',
    why: `WBINVD is an instruction of x86: it does not exist on ${process.arch}.`,
    hint: 'Run the probe on an x86-64 host.',
  });
};

const stopped = (operation: Operation, why: string, cause?: SyscallError): Failure =>
  new Failure({
    code: 'GUEST_STOPPED',
    kind: 'kernelRefused',
    what: `The guest stopped while it took samples of ${operation}.`,
    why: `${why}.`,
    hint: 'Look at the messages of KVM with dmesg; other operations may work (--operation).',
    errno: cause?.code,
    cause,
  });
