import {existsSync} from 'node:fs';
import {limitedTo} from './thread-filter.js';
import type {TraceInstance} from './trace-instance.js';

/** How exits are counted: by a histogram in the kernel, or by how many events a buffer has seen. */
export type CountingWay = 'histogram' | 'buffer';

/** What has been counted so far. */
export interface ExitCount {
  exits: number;
  /** Exits of each vCPU; null where only their sum is known. */
  byVcpu: Map<number, number> | null;
  /** Exits that the kernel had no room to count. */
  lost: number;
}

/**
 * WBINVD exits by their two numbers: EXIT_REASON_WBINVD 54 of VMX (arch/x86/include/uapi/asm/vmx.h), and
 * SVM_EXIT_WBINVD 0x089 (arch/x86/include/uapi/asm/svm.h). isa is KVM_ISA_VMX 1 or KVM_ISA_SVM 2. The flags in the upper half
 * of VMX's reason do not occur with this exit, and a filter could not mask them.
 */
export const WBINVD_FILTER = '((isa==1&&exit_reason==54)||(isa==2&&exit_reason==137))';

const EXIT = 'events/kvm/kvm_exit';

/**
 * Counts in the kernel, so that no exit is lost however many there are: with a hist trigger, by thread and vCPU, or
 * where the kernel has none (CONFIG_HIST_TRIGGERS) with a buffer that nobody reads, whose statistics count on.
 */
export class ExitCounter {
  readonly way: CountingWay;
  readonly #instance: TraceInstance;

  /** @param way - what to use instead of the best that there is */
  constructor(instance: TraceInstance, way?: CountingWay) {
    this.#instance = instance;
    this.way = way ?? (existsSync(`${instance.folder}/${EXIT}/hist`) ? 'histogram' : 'buffer');
  }

  start(threads: ReadonlySet<number>): void {
    if (this.way === 'histogram') {
      this.#instance.write(`${EXIT}/trigger`, `hist:keys=common_pid,vcpu_id:size=4096 if ${WBINVD_FILTER}`);
      return;
    }
    this.#instance.write('buffer_size_kb', '4');
    this.limitTo(threads);
    this.#instance.write(`${EXIT}/enable`, '1');
  }

  /** Names the VM's threads anew when they have changed. */
  limitTo(threads: ReadonlySet<number>): void {
    if (this.way === 'buffer') limitedTo(this.#instance, EXIT, WBINVD_FILTER, threads);
  }

  /** @param threads - all threads that the VM has had */
  count(threads: ReadonlySet<number>): ExitCount {
    if (this.way === 'buffer') {
      return {exits: this.#instance.statistics().written, byVcpu: null, lost: 0};
    }
    const {entries, dropped} = parseExitHistogram(this.#instance.read(`${EXIT}/hist`));
    const byVcpu = new Map<number, number>();
    for (const {thread, vcpu, hits} of entries)
      if (threads.has(thread)) byVcpu.set(vcpu, (byVcpu.get(vcpu) ?? 0) + hits);
    return {exits: [...byVcpu.values()].reduce((sum, hits) => sum + hits, 0), byVcpu, lost: dropped};
  }
}

/** Parses a `hist` file with the keys common_pid and vcpu_id (hist_trigger_print in kernel/trace/trace_events_hist.c). */
export const parseExitHistogram = (
  text: string,
): {entries: {thread: number; vcpu: number; hits: number}[]; dropped: number} => ({
  entries: [...text.matchAll(/^\{ common_pid:\s*(\d+), vcpu_id:\s*(\d+) \} hitcount:\s*(\d+)\s*$/gm)].map(
    ([, thread, vcpu, hits]) => ({thread: Number(thread), vcpu: Number(vcpu), hits: Number(hits)}),
  ),
  dropped: Number(/^\s*Dropped: (\d+)$/m.exec(text)?.[1] ?? 0),
});
