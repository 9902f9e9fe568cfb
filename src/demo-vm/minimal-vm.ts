import {once} from 'node:events';
import {setTimeout as sleep} from 'node:timers/promises';
import {Worker} from 'node:worker_threads';
import {Failure} from '../failure.js';
import {SyscallError} from '../linux/errno.js';
import {setGuestMemory} from '../kvm/vcpu.js';
import {Kvm, type Vm} from '../kvm/system.js';
import {addressOf} from '../linux/libc.js';
import {noVm} from '../kvm/no-vm.js';
import {PAUSE, RESTS, RUN, END, WANTED} from './vcpu-control.js';
import type {VcpuTask} from './vcpu-worker.js';
import {COUNTER_AT, MEMORY_SIZE, PROGRAM_AT, WBINVD_PROGRAM} from './wbinvd-guest.js';

/** What the VM executes: nothing, as it has no vCPU, or WBINVD without end. */
export const GUESTS = ['idle', 'wbinvd'] as const;
export type DemoGuest = (typeof GUESTS)[number];

const PAGE = 4096;

/** A VM of this process, to try things on. */
export class MinimalVm implements AsyncDisposable {
  readonly vm: Vm;
  readonly #vcpu: WbinvdLoop | null;

  /**
   * @param onFailure - called at most once, when the guest cannot go on
   * @param paused - the guest executes nothing before it is resumed
   * @throws {@link Failure} when this host cannot run such a VM
   */
  static create(guest: DemoGuest, onFailure: (failure: Failure) => void, paused = false): MinimalVm {
    try {
      using kvm = Kvm.open();
      return new MinimalVm(kvm.createVm(), guest, onFailure, paused);
    } catch (error) {
      throw error instanceof SyscallError ? noVm(error) : error;
    }
  }

  private constructor(vm: Vm, guest: DemoGuest, onFailure: (failure: Failure) => void, paused: boolean) {
    this.vm = vm;
    try {
      this.#vcpu = guest === 'wbinvd' ? new WbinvdLoop(vm, onFailure, paused) : null;
    } catch (error) {
      vm[Symbol.dispose]();
      throw error;
    }
  }

  /** How often the guest has executed WBINVD; null when it does not do that. */
  get wbinvds(): bigint | null {
    return this.#vcpu?.count ?? null;
  }

  /**
   * Pauses a guest that runs, and resumes one that is paused.
   *
   * @returns whether it is paused now; its counter then stands still, and is exactly how many WBINVDs it has executed
   */
  async togglePause(): Promise<boolean> {
    return (await this.#vcpu?.togglePause()) ?? false;
  }

  /** Stops the guest and waits until it does. */
  async stop(): Promise<void> {
    await this.#vcpu?.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    this.vm[Symbol.dispose]();
  }
}

/** The one vCPU of a VM, in a thread of its own, and the memory that it executes from. */
class WbinvdLoop {
  readonly #memory = new SharedArrayBuffer(MEMORY_SIZE + PAGE);
  readonly #offset: number;
  readonly #control = new Int32Array(new SharedArrayBuffer(8));
  readonly #ended: Promise<unknown>;
  #over = false;

  constructor(vm: Vm, onFailure: (failure: Failure) => void, paused: boolean) {
    if (process.arch !== 'x64') throw noWbinvd(`a processor of ${process.arch} has no such instruction`);
    const bytes = Buffer.from(this.#memory);
    const address = addressOf(bytes);
    this.#offset = Number(-address & BigInt(PAGE - 1));
    WBINVD_PROGRAM.copy(bytes, this.#offset + PROGRAM_AT);
    setGuestMemory(vm, address + BigInt(this.#offset), MEMORY_SIZE);
    Atomics.store(this.#control, WANTED, paused ? PAUSE : RUN);
    const task: VcpuTask = {vmFd: vm.fd, memory: this.#memory, offset: this.#offset, control: this.#control};
    const worker = new Worker(new URL(import.meta.resolve('#vcpu-worker')), {workerData: task});
    worker.on('error', (error) => {
      onFailure(noWbinvd(error instanceof Error ? error.message : String(error)));
    });
    this.#ended = once(worker, 'exit')
      .catch(() => undefined)
      .finally(() => {
        this.#over = true;
      });
  }

  get count(): bigint {
    return new DataView(this.#memory).getBigUint64(this.#offset + COUNTER_AT, true);
  }

  async togglePause(): Promise<boolean> {
    const paused = Atomics.load(this.#control, WANTED) === PAUSE;
    this.#want(paused ? RUN : PAUSE);
    if (paused) return false;
    while (Atomics.load(this.#control, RESTS) === 0 && !this.#over) await sleep(1);
    return true;
  }

  async stop(): Promise<void> {
    this.#want(END);
    await this.#ended;
  }

  #want(what: number): void {
    Atomics.store(this.#control, WANTED, what);
    Atomics.notify(this.#control, WANTED);
  }
}

const noWbinvd = (why: string): Failure =>
  new Failure({
    code: 'GUEST_STOPPED',
    kind: 'cannotDecide',
    what: 'The guest cannot execute WBINVD here.',
    why: `Its vCPU ended: ${why}.`,
    hint: 'Use --guest idle, which needs no vCPU.',
  });
