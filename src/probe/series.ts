/** What the guest can be made to do between two readings of its time-stamp counter; `empty` is nothing. */
export const OPERATIONS = ['wbinvd', 'wbnoinvd', 'cpuid', 'pio', 'empty'] as const;
export type Operation = (typeof OPERATIONS)[number];

/**
 * What the VM was at the time: `alone` in a run without groups; in a paired run `coherent` before the groups were
 * added, `attached` with them, `deleted` after them.
 */
export type Phase = 'alone' | 'coherent' | 'attached' | 'deleted';

/** Samples of one operation in one phase. */
export interface Series {
  operation: Operation;
  phase: Phase;
  /** Ticks of the time-stamp counter from before the operation to after it, in the order they were taken. */
  ticks: Float64Array;
}

/** What turns ticks into time. */
export interface Clock {
  /** Ticks of the guest's time-stamp counter per millisecond (KVM_GET_TSC_KHZ). */
  tscKhz: number;
  /** Where the number comes from, such as `KVM_GET_TSC_KHZ`. */
  source: string;
}
