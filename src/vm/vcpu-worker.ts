import {parentPort, workerData} from 'node:worker_threads';
import {SyscallError} from '../linux/errno.js';
import {Vcpu} from '../linux/kvm-vcpu.js';
import {COUNTER_AT, PROGRAM_AT, WBINVDS_PER_SLICE} from './wbinvd-guest.js';

/** What the thread that runs a vCPU is given. */
export interface VcpuTask {
  vmFd: number;
  /** The guest's memory, which this thread keeps alive too. */
  memory: SharedArrayBuffer;
  /** Where guest-physical 0 is in it. */
  offset: number;
  /** Not 0 when the thread is to end. */
  stop: Int32Array<SharedArrayBuffer>;
}

/**
 * Runs the WBINVD guest in slices until it is told to stop: KVM_RUN blocks its thread. A thread of the process has
 * its address space, which is all that KVM asks for.
 */
const runSlices = ({vmFd, memory, offset, stop}: VcpuTask): void => {
  using vcpu = Vcpu.create(vmFd);
  vcpu.startAt(PROGRAM_AT);
  const counter = new DataView(memory, offset + COUNTER_AT, 8);
  let goal = 0n;
  while (Atomics.load(stop, 0) === 0) {
    if (!resumed(vcpu)) continue;
    goal += BigInt(WBINVDS_PER_SLICE);
    const reached = counter.getBigUint64(0, true);
    if (reached !== goal) throw new Error(`the guest stopped at its WBINVD ${reached}, not at ${goal}`);
  }
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
