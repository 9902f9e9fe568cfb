import {Failure} from '../failure.js';
import {Deadline} from '../linux/deadline.js';
import type {Coherency} from '../kvm-vfio/coherency.js';
import {ProbeMachine, requireX86} from './machine.js';
import {PairedGroups, type PairedGroup} from './paired-groups.js';
import {HostCpus} from './sampling/host-cpus.js';
import {sample, type Ending, type SampledPhase} from './sampling/sample.js';
import type {Clock, Operation, Phase} from './series.js';

/**
 * The most samples of one run, all operations and phases together. A sample takes 8 bytes, and another 8 while its
 * series is summarised.
 */
export const SAMPLES_MAX = 5_000_000;

/** The most bytes that may be made dirty before each sample. */
export const DIRTY_MAX = 1024 * 1024 * 1024;

export interface RunOptions {
  operations: readonly Operation[];
  /** Number of samples of each operation in each phase; undefined: as many as fit into the duration. */
  samples: number | undefined;
  /** Number of samples of each operation that are taken first and not recorded. */
  warmup: number;
  /** Seconds that all phases may take together; undefined: no limit. */
  duration: number | undefined;
  /** Over how many seconds each phase is spread at least, as more than one state of the host is to be seen. */
  spread: number;
  /** The only CPU of the host that samples are taken on. */
  cpu: number | undefined;
  /** Bytes of the guest's memory that are made dirty before each sample. */
  dirty: number;
  /** Number of CPUs of the host that the vCPU runs on before each sample. */
  cpusVisited: number | undefined;
  groups: readonly number[];
  /** Whether WBINVD may stop the whole host. */
  allowHostFlush: boolean;
  /** Aborted when the user wants an end. */
  signal: AbortSignal;
  onProgress: (phase: Phase, taken: number, wanted: number, secondsLeft: number | null) => void;
  /** Receives a sentence on what the host is about to suffer, before it does. */
  onNotice: (line: string) => void;
}

export interface MeasuredPhase extends SampledPhase {
  /** What KVM takes the VM for in this phase. */
  coherency: Coherency;
  /** Operations of each kind before the samples. */
  warmup: number;
}

/** All that a run gave. */
export interface Run {
  clock: Clock;
  groups: readonly PairedGroup[];
  phases: MeasuredPhase[];
  ended: Ending;
  cpus: {
    /** The CPU that the vCPU was kept on; null when the kernel chose. */
    pinned: number | null;
    /** The CPUs that it was moved over before each sample. */
    visited: readonly number[];
    /** CPUs on which samples were taken, as seen before each slice. */
    seen: readonly number[];
  };
}

/**
 * Measures in a VM of its own: once, or with groups before they are added, with them, and after they are deleted.
 * However it ends, the groups are deleted and free then.
 *
 * @throws {@link Failure}
 */
export const run = async (options: RunOptions): Promise<Run> => {
  requireX86();
  const {operations, groups: ids, cpu, cpusVisited: visited, dirty} = options;
  const paired = ids.length > 0;
  const phases: readonly Phase[] = paired ? ['coherent', 'attached', 'deleted'] : ['alone'];
  const samples = affordable(options.samples, operations.length * phases.length);
  const groups = new PairedGroups(ids);
  const flushes = operations.some(isFlush) && groups.coherency(true).state !== 'coherent';
  if (flushes && !options.allowHostFlush) throw flushNotAllowed(groups);

  using cpus = new HostCpus({cpu, visited});
  using machine = ProbeMachine.create(dirty);
  if (operations.includes('wbnoinvd') && !machine.hasWbnoinvd) throw noWbnoinvd();
  using attachment = groups.of(machine.vm);

  const measured: MeasuredPhase[] = [];
  for (const phase of phases) {
    const attached = phase === 'attached';
    const gentle = attached && flushes;
    const warmup = gentle ? Math.min(options.warmup, GENTLE_WARMUP) : options.warmup;
    if (gentle) options.onNotice(announcement(groups, samples + warmup, cpus.others.length + 1));
    if (attached) attachment.add();
    if (phase === 'deleted') attachment.delete();
    const result = await sample(machine, {
      phase,
      operations,
      samples,
      warmup,
      spread: options.samples === undefined ? 0 : options.spread,
      deadline: deadlineOf(options.duration, phases.length),
      signal: options.signal,
      cpus,
      gentle,
      onProgress: (taken, wanted, secondsLeft) => {
        options.onProgress(phase, taken, wanted, secondsLeft);
      },
    });
    measured.push({...result, coherency: groups.coherency(attached), warmup});
    if (result.ended === 'interrupted') break;
  }
  return {
    clock: machine.clock,
    groups: groups.groups,
    phases: measured,
    ended: endingOf(measured),
    cpus: {pinned: cpus.home, visited: cpus.others, seen: cpus.seen},
  };
};

/** Where WBINVD stops the host, a few have to be enough to touch the guest's memory. */
const GENTLE_WARMUP = 16;

const isFlush = (operation: Operation): boolean => operation === 'wbinvd' || operation === 'wbnoinvd';

const deadlineOf = (seconds: number | undefined, phases: number): Deadline =>
  seconds === undefined ? Deadline.never : Deadline.after((seconds * 1000) / phases);

const endingOf = (phases: readonly MeasuredPhase[]): Ending => {
  const endings = phases.map(({ended}) => ended);
  return endings.includes('interrupted')
    ? 'interrupted'
    : endings.includes('duration')
      ? 'duration'
      : 'complete';
};

const affordable = (samples: number | undefined, series: number): number => {
  const most = Math.floor(SAMPLES_MAX / series);
  if (samples === undefined) return most;
  if (samples <= most) return samples;
  throw new Failure({
    code: 'TOO_MANY_SAMPLES',
    kind: 'usage',
    what: `${samples} samples are too many.`,
    why: `${series === 1 ? 'A run' : `This run has ${series} series of samples, and one`} may have ${SAMPLES_MAX} in all, so that its memory stays below 200 MB.`,
    hint: `Ask for at most ${most}.`,
  });
};

const noWbnoinvd = (): Failure =>
  new Failure({
    code: 'NO_WBNOINVD',
    kind: 'cannotDecide',
    what: 'WBNOINVD cannot be measured here.',
    why: 'KVM does not say that this CPU has it (CPUID leaf 0x80000008, EBX bit 9), and a CPU without it would execute WBINVD.',
    hint: 'Leave out --operation wbnoinvd.',
  });

const flushNotAllowed = (groups: PairedGroups): Failure =>
  new Failure({
    code: 'HOST_FLUSH',
    kind: 'refused',
    what: 'The probe would flush the caches of this host.',
    why: `With ${named(groups)} the VM is ${groups.coherency(true).state === 'unknown' ? 'maybe ' : ''}non-coherent, so that KVM executes each WBINVD of the guest on the host, and whatever runs there waits and loses its caches.`,
    hint: 'Give --allow-host-flush on a host where that is acceptable.',
  });

const announcement = (groups: PairedGroups, samples: number, cpus: number): string =>
  `with ${named(groups)} added, WBINVD flushes the caches of ${cpus === 1 ? 'the CPU that the vCPU is on' : `${cpus} CPUs`} and of those that share them, up to ${samples} times for each flushing operation, in at most a tenth of the time; what else runs on this host becomes slower meanwhile, and Ctrl-C ends it`;

const named = ({groups}: PairedGroups): string =>
  `${groups.length === 1 ? 'group' : 'groups'} ${groups.map(({id}) => id).join(', ')}`;
