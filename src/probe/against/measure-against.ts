import {readFileSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import {Failure} from '../../failure.js';
import {SyscallError} from '../../linux/errno.js';
import {processStart} from '../../linux/proc/start-time.js';
import {Process} from '../../linux/proc/process.js';
import type {MachineRecord} from '../machine-record.js';
import {summarise, type Summary} from '../statistics/summary.js';
import {ExitCounter, type CountingWay, type ExitCount} from './exit-counter.js';
import {ExitTimes} from './exit-times.js';
import {removeStaleInstances, TraceInstance} from './trace-instance.js';
import {codeOf, findTracefs} from './tracefs.js';

/** What `kvfio probe --against --json` prints. */
export interface AgainstDocument {
  schemaVersion: 1;
  command: 'probe-against';
  vm: AgainstVm;
  /** How long exits were counted. */
  seconds: number;
  ended: 'duration' | 'interrupted' | 'vm-ended';
  wbinvd: {
    /** Every WBINVD or WBNOINVD exit of the VM in that time. */
    exits: number;
    perSecond: number;
    counted: CountingWay;
    /**
     * Exits that the kernel had no room to count. 0 means that `exits` is exact for all threads that were seen: they are
     * looked for every 50 ms, and a vCPU's thread that lives shorter, or until it is seen, is not counted.
     */
    uncounted: number;
  };
  vcpus: AgainstVcpu[];
  /** Events that were overwritten before they could be read: as many pairs may be missing among the times. */
  lostEvents: number;
  machine: MachineRecord;
  warnings: {message: string}[];
}

export interface AgainstVm {
  pid: number;
  command: string;
  /** Number of the VM's descriptor in its process. */
  fd: number;
  /** Where it was received from; null when the process was named. */
  socket: string | null;
  /** Whether its process has other VMs, whose exits look like its own; null when that is not known. */
  sharesProcess: boolean | null;
}

export interface AgainstVcpu {
  /** Number of the vCPU (its `vcpu_id`). */
  vcpu: number;
  /** Null where the kernel counts for all vCPUs together. */
  exits: number | null;
  /** How many exits were timed. */
  timed: number;
  /** Time from leaving the guest to entering it again, the two tracepoints included; null when none was timed. */
  nanoseconds: Summary['nanoseconds'];
  /** Histogram in nanoseconds of the times that were kept; null when none was. */
  histogram: Summary['histogram'];
}

export interface AgainstOptions {
  vm: AgainstVm;
  machine: MachineRecord;
  seconds: number;
  /** Ends it early; what was measured until then is the answer. */
  signal: AbortSignal;
  /** Called when every exit from now on counts. */
  onReady: () => void;
  tracefs?: string;
  /** A way of counting other than the best one that this kernel has, for tests. */
  counting?: CountingWay;
}

/**
 * Counts and times the WBINVD exits of a running VM. The VM is not stopped, nor touched in any other way; its exits get
 * slower by what a tracepoint costs.
 *
 * All VMs of the process are meant: events do not say which of them it was.
 *
 * @throws {@link Failure}: cannotDecide when this kernel, its KVM or the user's rights do not allow it
 */
export const measureAgainst = async (options: AgainstOptions): Promise<AgainstDocument> => {
  const {vm, machine, seconds, signal, onReady} = options;
  const tracefs = options.tracefs ?? findTracefs();
  removeStaleInstances(tracefs);
  const owner = new VmThreads(vm.pid);
  using timing = new TraceInstance(tracefs, 'time');
  using counting = new TraceInstance(tracefs, 'count');
  const times = new ExitTimes(timing);
  const counter = new ExitCounter(counting, options.counting);
  // so that all that is timed is counted, too
  counter.start(owner.all);
  times.start(owner.all);
  const began = performance.now();
  onReady();
  const ended = await until(began + seconds * 1000, signal, owner, (changed) => {
    if (changed) {
      times.limitTo(owner.all);
      counter.limitTo(owner.all);
    }
    times.collect();
  });
  times.finish();
  const count = counter.count(owner.all);
  const elapsed = (performance.now() - began) / 1000;
  if (count.exits === 0 && times.entries === 0 && isSilent(machine, owner)) throw silent(machine);
  const lostEvents = times.lost;
  return {
    schemaVersion: 1,
    command: 'probe-against',
    vm,
    seconds: Math.round(elapsed * 1000) / 1000,
    ended,
    wbinvd: {
      exits: count.exits,
      perSecond: Math.round((count.exits / elapsed) * 10) / 10,
      counted: counter.way,
      uncounted: count.lost,
    },
    vcpus: vcpusOf(count, times),
    lostEvents,
    machine,
    warnings: [
      ...(vm.sharesProcess === true
        ? [{message: `process ${vm.pid} has several VMs, and their exits are counted together`}]
        : []),
      ...(lostEvents === 0
        ? []
        : [{message: `${lostEvents} events came faster than they could be read: not all exits were timed`}]),
      ...(count.lost === 0 ? [] : [{message: `${count.lost} exits could not be counted`}]),
    ],
  };
};

/** Milliseconds between two readings. */
const INTERVAL = 50;

const until = async (
  deadline: number,
  signal: AbortSignal,
  owner: VmThreads,
  step: (changed: boolean) => void,
): Promise<AgainstDocument['ended']> => {
  for (;;) {
    const remaining = deadline - performance.now();
    if (signal.aborted) return 'interrupted';
    if (remaining <= 0) return 'duration';
    try {
      await sleep(Math.min(INTERVAL, remaining), undefined, {signal});
    } catch {
      return 'interrupted';
    }
    const alive = owner.refresh();
    step(owner.changed);
    if (!alive) return 'vm-ended';
  }
};

/** Threads of the process that has the VM, those that have ended included. */
class VmThreads {
  readonly all = new Set<number>();
  /** Whether the last {@link refresh} found new ones. */
  changed = false;
  readonly #pid: number;
  readonly #start: number | null;
  #first: BusyTime | null = null;
  #last: BusyTime | null = null;

  constructor(pid: number) {
    this.#pid = pid;
    this.#start = processStart(pid);
    this.refresh();
  }

  /** Whether the process is still there. */
  refresh(): boolean {
    const before = this.all.size;
    try {
      if (this.#start === null || processStart(this.#pid) !== this.#start) return false;
      for (const thread of new Process(this.#pid).tasks()) this.all.add(thread);
      this.#last = busyTime(this.#pid) ?? this.#last;
      this.#first ??= this.#last;
      return true;
    } catch (error) {
      if (error instanceof SyscallError) return false;
      throw error;
    } finally {
      this.changed = this.all.size !== before;
    }
  }

  /** What it did since it was looked at first, in clock ticks. */
  get busy(): BusyTime {
    return {
      guest: (this.#last?.guest ?? 0) - (this.#first?.guest ?? 0),
      all: (this.#last?.all ?? 0) - (this.#first?.all ?? 0),
    };
  }
}

/** Clock ticks that the threads of a process had a CPU. */
interface BusyTime {
  /** Time in a guest, as far as KVM's back end reports it. */
  guest: number;
  all: number;
}

/** Fields utime, stime and guest_time of /proc/PID/stat (proc(5)); null when the process has ended. */
const busyTime = (pid: number): BusyTime | null => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // the name in parentheses may contain anything, and is followed by field 3
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    return {guest: fields[40] ?? 0, all: (fields[11] ?? 0) + (fields[12] ?? 0)};
  } catch (error) {
    codeOf(error);
    return null;
  }
};

const vcpusOf = ({byVcpu}: ExitCount, {times}: ExitTimes): AgainstVcpu[] =>
  [...new Set([...(byVcpu?.keys() ?? []), ...times.keys()])]
    .sort((a, b) => a - b)
    .map((vcpu) => {
      const timed = times.get(vcpu);
      // one tick of this clock is a nanosecond
      const summary =
        timed === undefined ? null : summarise(timed.kept, {tscKhz: 1e6, source: 'CLOCK_MONOTONIC'});
      return {
        vcpu,
        exits: byVcpu === null ? null : (byVcpu.get(vcpu) ?? 0),
        timed: timed?.count ?? 0,
        nanoseconds: summary?.nanoseconds ?? null,
        histogram: summary?.histogram ?? null,
      };
    });

/** Whether the VM may have run even though KVM reported nothing: back ends other than the kernel's two do not. */
const isSilent = ({kvmModule}: MachineRecord, {busy}: VmThreads): boolean => {
  if (busy.guest > 0) return true;
  return !/^kvm_(intel|amd)$/.test(kvmModule ?? '') && busy.all > 0;
};

const silent = ({kvmModule}: MachineRecord): Failure =>
  new Failure({
    code: 'EXITS_NOT_TRACED',
    kind: 'cannotDecide',
    what: 'The exits of the VM cannot be counted here.',
    why: `KVM's back end${kvmModule === null ? '' : ` ${kvmModule}`} does not report exits: no event came of a VM that may run.`,
    hint: 'Use a host with kvm_intel or kvm_amd, or measure in a VM of kvfio: "kvfio probe".',
  });
