import {fieldReader, parseEventFormat} from './event-format.js';
import {WBINVD_FILTER} from './exit-counter.js';
import {Thinned} from './thinned.js';
import {limitedTo} from './thread-filter.js';
import type {TraceInstance} from './trace-instance.js';
import {parseTracePage} from './trace-page.js';

const EXIT = 'events/kvm/kvm_exit';
const ENTRY = 'events/kvm/kvm_entry';

/** Pages of all CPUs together that are taken in one go, so that Node's loop is not blocked for long. */
const PAGES_AT_ONCE = 512;

/** Size of the trace buffers of all CPUs together, in KiB. */
const BUFFERS = 64 * 1024;

/**
 * Times exits by pairs of events: from a kvm_exit for WBINVD to the next kvm_entry of the same thread. That is how long the
 * vCPU was kept from the guest, and the cost of the two tracepoints is part of it.
 *
 * Each CPU has a buffer of its own and threads move, so events wait until all buffers have been read up to their time.
 */
export class ExitTimes {
  /** Entries of any kind that were seen: without one, this KVM does not trace. */
  entries = 0;
  readonly #instance: TraceSource;
  readonly #cpus: readonly number[];
  readonly #exitId: number;
  readonly #vcpuOf: (page: Buffer, record: number) => number;
  readonly #threadOf: (page: Buffer, record: number) => number;
  readonly #waiting: Waiting[] = [];
  /** Up to when each CPU's buffer has been read. */
  readonly #readUpTo = new Map<number, number>();
  /** CPUs whose events are missing at the moment that pairs have come to. */
  #missing = 0;
  /** The time at which each thread left the guest, and the vCPU that it runs. */
  readonly #left = new Map<number, {time: number; vcpu: number}>();
  readonly #times = new Map<number, Thinned>();

  constructor(instance: TraceSource) {
    this.#instance = instance;
    this.#cpus = instance.cpus;
    const exit = parseEventFormat(instance.read(`${EXIT}/format`));
    this.#exitId = exit.id;
    this.#vcpuOf = fieldReader(exit, 'vcpu_id');
    this.#threadOf = fieldReader(exit, 'common_pid');
  }

  start(threads: ReadonlySet<number>): void {
    const each = Math.round(BUFFERS / this.#cpus.length);
    this.#instance.write('buffer_size_kb', String(Math.min(4096, Math.max(64, each))));
    this.limitTo(threads);
    this.#instance.write(`${ENTRY}/enable`, '1');
    this.#instance.write(`${EXIT}/enable`, '1');
  }

  /** Names the VM's threads anew when they have changed. */
  limitTo(threads: ReadonlySet<number>): void {
    limitedTo(this.#instance, EXIT, WBINVD_FILTER, threads);
    limitedTo(this.#instance, ENTRY, '', threads);
  }

  /** Takes what the buffers have, without waiting. */
  collect(): void {
    const most = Math.max(4, Math.floor(PAGES_AT_ONCE / this.#cpus.length));
    // what happens from here on may be missed in a buffer that is read before others
    const now = Number(process.hrtime.bigint());
    const ends = this.#cpus.map((cpu) => this.#collectFrom(cpu, most, now));
    this.#pair(Math.min(...ends));
  }

  /** Ends the recording and takes all that is left. */
  finish(): void {
    this.#instance.write('events/enable', '0');
    for (const cpu of this.#cpus) this.#collectFrom(cpu, Infinity, Infinity);
    this.#pair(Infinity);
  }

  /** Nanoseconds of each timed exit of each vCPU, in their order. */
  get times(): Map<number, Thinned> {
    return this.#times;
  }

  /** Events that were overwritten before they could be read. */
  get lost(): number {
    return this.#instance.statistics().lost;
  }

  /** @returns up to which time this CPU has nothing more than what has been taken */
  #collectFrom(cpu: number, most: number, now: number): number {
    let upTo = this.#readUpTo.get(cpu) ?? 0;
    for (let pages = 0; ; pages += 1) {
      const page = pages < most ? this.#instance.nextPage(cpu) : undefined;
      if (page === null) upTo = now;
      if (page === null || page === undefined) break;
      const {events, lostBefore} = parseTracePage(page);
      const [first] = events;
      if (lostBefore && first !== undefined) {
        this.#waiting.push(
          {...NOBODY, time: upTo, kind: 'loss'},
          {...NOBODY, time: first.time, kind: 'found'},
        );
      }
      for (const {time, offset, type} of events) {
        const exit = type === this.#exitId;
        this.#waiting.push({
          time,
          kind: exit ? 'exit' : 'entry',
          thread: this.#threadOf(page, offset),
          vcpu: exit ? this.#vcpuOf(page, offset) : 0,
        });
        upTo = time;
      }
    }
    this.#readUpTo.set(cpu, upTo);
    return upTo;
  }

  #pair(complete: number): void {
    this.#waiting.sort((a, b) => a.time - b.time);
    const end = this.#waiting.findIndex(({time}) => time > complete);
    for (const {kind, time, thread, vcpu} of this.#waiting.splice(0, end === -1 ? Infinity : end)) {
      if (kind === 'exit') this.#left.set(thread, {time, vcpu});
      else if (kind === 'entry') this.#entered(thread, time);
      else {
        // a thread may have been on that CPU, so a pair over this moment might be of two different exits
        this.#missing += kind === 'loss' ? 1 : -1;
        this.#left.clear();
      }
    }
  }

  #entered(thread: number, time: number): void {
    this.entries += 1;
    const left = this.#left.get(thread);
    if (left === undefined) return;
    this.#left.delete(thread);
    if (this.#missing > 0) return;
    let times = this.#times.get(left.vcpu);
    if (times === undefined) this.#times.set(left.vcpu, (times = new Thinned()));
    times.add(time - left.time);
  }
}

/** What is needed of a {@link TraceInstance}. */
export type TraceSource = Pick<
  TraceInstance,
  'cpus' | 'nextPage' | 'read' | 'write' | 'statistics' | 'folder'
>;

const NOBODY = {thread: 0, vcpu: 0};

interface Waiting {
  time: number;
  /** `loss` and `found` enclose the time from which a CPU's events are missing. */
  kind: 'exit' | 'entry' | 'loss' | 'found';
  thread: number;
  vcpu: number;
}
