import type {AgainstDocument} from '../against/measure-against.js';
import type {CompareDocument, ComparedRun} from '../compare.js';
import type {MachineRecord} from '../machine-record.js';
import type {ProbeDocument} from '../probe-document.js';
import {listed} from '../../words.js';
import {seriesName} from '../series-name.js';
import type {Phase} from '../series.js';
import {distributionOf, type Colour, type DrawnDistribution} from './distribution.js';
import type {Drawing} from './svg.js';

const GUEST_TIME = 'time in the guest';

const COLOUR_OF_PHASE: Record<Phase, Colour> = {
  alone: 'blue',
  coherent: 'blue',
  attached: 'orange',
  deleted: 'green',
};

const machineLine = ({cpu, kernel, kvmModule}: MachineRecord): string =>
  [cpu, kernel, kvmModule].filter((part) => part !== null).join(', ');

const titled = (operations: readonly string[]): string => {
  const names = [...new Set(operations)].map((name) => name.toUpperCase());
  return names.length === 0
    ? 'No samples were taken'
    : `Time that ${listed(names)} ${names.length === 1 ? 'takes' : 'take'} in a guest`;
};

const present = (all: readonly (DrawnDistribution | null)[]): DrawnDistribution[] =>
  all.filter((each) => each !== null);

/** A run: a panel for each operation and phase. */
export const drawingOfRun = ({series, clock, machine}: DrawnRun): Drawing => ({
  title: titled(series.filter(({samples}) => samples > 0).map(({operation}) => operation)),
  about: [machineLine(machine)],
  time: GUEST_TIME,
  distributions: present(
    series.map((each) =>
      distributionOf(each, clock, {name: seriesName(each), colour: COLOUR_OF_PHASE[each.phase]}),
    ),
  ),
});

export type DrawnRun = Pick<ProbeDocument, 'series' | 'clock' | 'machine'>;

/** Two runs: each operation and phase of A above the same of B. */
export const drawingOfComparison = ({a, b, pairs}: CompareDocument): Drawing => {
  const about = (name: string, {path, machine}: ComparedRun): string =>
    `${name}: ${path} (${machineLine(machine)})`;
  return {
    title: `${titled(pairs.map(({operation}) => operation))}: A and B`,
    about: [about('A', a), about('B', b)],
    time: GUEST_TIME,
    distributions: present(
      pairs.flatMap(({operation, a: one, b: other}) => [
        distributionOf(one, a.clock, {name: `A: ${seriesName({operation, ...one})}`, colour: 'blue'}),
        distributionOf(other, b.clock, {name: `B: ${seriesName({operation, ...other})}`, colour: 'orange'}),
      ]),
    ),
  };
};

/** The exits of a running VM: a panel for each vCPU of which some were timed. */
export const drawingOfExits = ({vm, vcpus, machine}: AgainstDocument): Drawing => ({
  title: `Time that WBINVD exits keep a vCPU from the guest`,
  about: [`process ${vm.pid} (${vm.command}); ${machineLine(machine)}`],
  time: 'time from the exit to the next entry',
  distributions: present(
    vcpus.map(({vcpu, timed, histogram, nanoseconds}) =>
      distributionOf(
        {samples: timed, subtracted: 0, histogram, nanoseconds},
        // its histogram is in nanoseconds already
        {tscKhz: 1e6},
        {name: `vCPU ${vcpu}`, colour: 'blue'},
      ),
    ),
  ),
});
