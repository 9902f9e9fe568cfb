import type {MachineRecord} from '../../src/probe/machine-record.js';
import {seriesDocument, type ProbeRun} from '../../src/probe/series-document.js';
import type {Clock, Series} from '../../src/probe/series.js';
import {Source} from './series.js';

export const CLOCK: Clock = {tscKhz: 2_600_000, source: 'KVM_GET_TSC_KHZ'};

export const MACHINE: MachineRecord = {
  cpu: 'AMD EPYC 9254',
  vendor: 'AuthenticAMD',
  signature: '25-17-1',
  microcode: '0xa101144',
  kernel: '6.12.0-1-amd64',
  architecture: 'x86_64',
  kvmModule: 'kvm_amd',
  virtualised: false,
  hypervisor: null,
  online: '0-47',
  pinnedCpu: 3,
  allowed: '0-47',
  governor: 'performance',
  frequencyDriver: 'amd-pstate-epp',
  clockSource: 'tsc',
  mitigations: {meltdown: 'Not affected', spectre_v1: 'Mitigation: usercopy/swapgs barriers'},
  kvfio: '0.1.0',
};

/** Samples of an exit, `shift` ticks longer than usual. */
export const series = (
  operation: Series['operation'],
  phase: Series['phase'] = 'alone',
  shift = 0,
  count = 1000,
): Series => ({
  operation,
  phase,
  ticks: new Source(operation.length + shift + 1).ticks(count).map((value) => value + shift),
});

export const run = (all: readonly Series[], parts: Partial<ProbeRun> = {}): ProbeRun => ({
  schemaVersion: 1,
  command: 'probe',
  clock: CLOCK,
  machine: MACHINE,
  series: all.map((each) => seriesDocument(each, CLOCK)),
  ...parts,
});
