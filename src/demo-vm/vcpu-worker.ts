import {parentPort, workerData} from 'node:worker_threads';
import {SyscallError} from '../linux/errno.js';
import {Vcpu} from '../kvm/vcpu.js';
import {PAUSE, RESTS, END, WANTED} from './vcpu-control.js';
import {COUNTER_AT, PROGRAM_AT, WBINVDS_PER_SLICE} from './wbinvd-guest.js';

/** What the thread that runs a vCPU is given. */
export interface VcpuTask {
  vmFd: number;
  /** The guest's memory, which this thread keeps alive too. */
  memory: SharedArrayBuffer;
  /** Offset of guest-physical 0 in the memory. */
  offset: number;
  /** Two words: at {@link WANTED} what the thread is to do, at {@link RESTS} whether it rests. */
  control: Int32Array<SharedArrayBuffer>;
}

/**
 * Runs the WBINVD guest in slices until the control memory says stop: KVM_RUN blocks its thread. A thread of the process has
 * its address space, which is all that KVM asks for.
 */
const runSlices = ({vmFd, memory, offset, control}: VcpuTask): void => {
  using vcpu = Vcpu.create(vmFd);
  vcpu.startAt(PROGRAM_AT);
  const counter = new DataView(memory, offset + COUNTER_AT, 8);
  let goal = 0n;
  for (;;) {
    // between slices only, so that the guest's counter is exact: within one the instruction may be done, and not yet counted
    if (counter.getBigUint64(0, true) === goal) {
      rest(control);
      if (Atomics.load(control, WANTED) === END) return;
    }
    if (!resumed(vcpu)) continue;
    goal += BigInt(WBINVDS_PER_SLICE);
    const reached = counter.getBigUint64(0, true);
    if (reached !== goal) throw new Error(`the guest stopped at its WBINVD ${reached}, not at ${goal}`);
  }
};

/** Waits as long as a pause is wanted. */
const rest = (control: VcpuTask['control']): void => {
  while (Atomics.load(control, WANTED) === PAUSE) {
    Atomics.store(control, RESTS, 1);
    Atomics.wait(control, WANTED, PAUSE);
  }
  Atomics.store(control, RESTS, 0);
};

/** Whether the guest ran until it left by itself; not when a signal came. */
const resumed = (vcpu: Vcpu): boolean => {
  try {
    vcpu.run();
    return true;
  } catch (error) {
    if (error instanceof SyscallError && error.code === 'EINTR') return false;
    throw error;
  }
};

if (parentPort !== null) runSlices(workerData as VcpuTask);
