import type {VmCoherency} from '../kvm-vfio/model/device.js';
import type {MachineRecord} from './machine-record.js';
import type {SeriesDifference, SeriesDocument} from './series-document.js';

/** What became of the guest's WBINVD. */
export interface ProbeVerdict {
  /**
   * `skipped`: KVM left the guest and went on behind the instruction. `executed`: the caches of the host were written
   * back and emptied. For a paired run it is about the VM with the groups.
   */
  wbinvd: 'skipped' | 'executed' | 'cannot-tell';
  /** A sentence. */
  text: string;
  /** What it rests on, each half a sentence. */
  reasons: string[];
}

/** What the verdict rests on. */
export interface ProbeEvidence {
  machine: MachineRecord;
  /** What KVM takes the VM for, with the groups when there are some. */
  coherency: VmCoherency;
  paired: boolean;
  series: readonly SeriesDocument[];
  /** Difference of WBINVD's times: with the groups less before them. */
  difference: SeriesDifference | null;
  /** Operations that have to make KVM leave the guest, and how often it did. */
  operations: number;
  exits: number | null;
}

/** Says only what the samples show on this machine. */
export const verdictOf = (evidence: ProbeEvidence): ProbeVerdict => {
  const {series, paired} = evidence;
  const measured = series.some(
    ({operation, phase, samples}) =>
      operation === 'wbinvd' && phase === (paired ? 'attached' : 'alone') && samples > 0,
  );
  if (!measured) return cannotTell([`no WBINVD was measured${paired ? ' with the groups' : ''}`]);
  const obstacles = obstaclesOf(evidence);
  if (obstacles.length > 0) return cannotTell([...obstacles, ruleOf(evidence)]);
  return paired ? pairedVerdict(evidence) : aloneVerdict(evidence);
};

/** What keeps the time of a WBINVD from saying what became of it. */
const obstaclesOf = ({machine, operations, exits}: ProbeEvidence): string[] => {
  const {virtualised, hypervisor, cpu, kvmModule} = machine;
  const obstacles: string[] = [];
  if (/\bTCG\b/.test(`${hypervisor ?? ''} ${cpu ?? ''}`))
    obstacles.push('this processor is emulated (QEMU TCG) and has no caches that could be flushed');
  else if (virtualised === true)
    obstacles.push(
      `this host is itself a VM${hypervisor === null ? '' : ` (${hypervisor})`}: the hypervisor below may skip what it executes, and its exits may pass through that hypervisor`,
    );
  else if (virtualised === null) obstacles.push('it is not known whether this host is itself a VM');
  if (exits !== null && exits < operations / 2)
    obstacles.push(
      `KVM left the guest ${exits} times for ${operations} operations: its back end${kvmModule === null ? '' : ` (${kvmModule})`} emulates the guest's instructions instead of having the CPU execute them`,
    );
  return obstacles;
};

const pairedVerdict = (evidence: ProbeEvidence): ProbeVerdict => {
  const {difference, coherency} = evidence;
  if (difference?.different == null) return cannotTell(['there are too few samples', ruleOf(evidence)]);
  const ratio = difference.ratio ?? 1;
  if (difference.different && ratio >= CLEARLY)
    return coherency === 'coherent'
      ? cannotTell([`it takes ${times(ratio)} as long with the groups`, ruleOf(evidence)])
      : {
          wbinvd: 'executed',
          text: 'WBINVD is executed on the host while the groups are attached.',
          reasons: [`it takes ${times(ratio)} as long with them`, ruleOf(evidence)],
        };
  if (difference.different && ratio > SAME)
    return cannotTell([
      `it takes ${times(ratio)} as long with the groups, which is more than chance and less than a flush`,
      ruleOf(evidence),
    ]);
  const most = mostTimes(evidence);
  if (most === null || most >= SAME)
    return cannotTell([
      `too few samples: it may take ${most === null ? 'longer' : `up to ${times(most)} as long`} with the groups`,
      ruleOf(evidence),
    ]);
  const asLong = 'it takes as long with the groups as without';
  return coherency === 'non-coherent'
    ? cannotTell([asLong, ruleOf(evidence)])
    : {
        wbinvd: 'skipped',
        text: 'WBINVD is skipped, with the groups as without.',
        reasons: [asLong, ruleOf(evidence)],
      };
};

/** How many times as long it may take with the groups: the upper end of the interval. */
const mostTimes = ({series, difference}: ProbeEvidence): number | null => {
  const before = series.find(({operation, phase}) => operation === 'wbinvd' && phase === 'coherent');
  const median = before?.nanoseconds?.median ?? 0;
  const high = difference?.nanoseconds.high ?? null;
  return median <= 0 || high === null ? null : 1 + high / median;
};

/** A flush takes at least as long as another exit. */
const CLEARLY = 2;
/** Up to here it takes as long: that no difference was found is not enough. */
const SAME = 1.1;

const aloneVerdict = (evidence: ProbeEvidence): ProbeVerdict => {
  const median = (name: SeriesDocument['operation']): number | null =>
    evidence.series.find(({operation}) => operation === name)?.nanoseconds?.median ?? null;
  const [wbinvd, cpuid] = [median('wbinvd'), median('cpuid')];
  if (wbinvd === null || cpuid === null || cpuid <= 0)
    return cannotTell([
      'with --operation cpuid it could be compared with an exit that flushes nothing',
      ruleOf(evidence),
    ]);
  const ratio = wbinvd / cpuid;
  return ratio > FEW
    ? cannotTell([`it takes ${times(ratio)} as long as CPUID, which is more than an exit`, ruleOf(evidence)])
    : {
        wbinvd: 'skipped',
        text: 'WBINVD is skipped: what it costs is the exit.',
        reasons: [ruleOf(evidence), `it takes ${times(ratio)} as long as CPUID, which flushes nothing`],
      };
};

/** Exits differ by what KVM does in them, but not by this much. */
const FEW = 5;

/** What KVM does by its rule (need_emulate_wbinvd() in arch/x86/kvm/x86.c), whatever the time says. */
const ruleOf = ({coherency, paired}: ProbeEvidence): string => {
  const vm = paired ? 'with the groups' : 'without groups';
  switch (coherency) {
    case 'coherent':
      return `by KVM's rule it is skipped, as the VM is coherent ${vm}`;
    case 'non-coherent':
      return `by KVM's rule it is executed, as the VM is non-coherent ${vm}`;
    case 'unknown':
      return `it is not known what KVM takes the VM for ${vm}`;
  }
};

const times = (ratio: number): string => `${ratio.toFixed(2)} times`;

const cannotTell = (reasons: string[]): ProbeVerdict => ({
  wbinvd: 'cannot-tell',
  text: 'kvfio cannot determine here whether WBINVD is skipped or executed.',
  reasons,
});
