import type {ChalkInstance} from 'chalk';
import type {AgainstDocument, AgainstVcpu} from '../../probe/against/measure-against.js';
import {grouped} from '../../numbers.js';
import {histogramLines} from '../output/histogram.js';
import {printable} from '../../printable.js';
import {tableLines, type Column} from '../output/table.js';
import {wrappedFacts} from '../output/wrap.js';

/** The answer of `kvfio probe --against` for people. */
export const againstLines = async (
  document: AgainstDocument,
  {paint, width}: {paint: ChalkInstance; width: number | null},
): Promise<string[]> => {
  const {vm, vcpus, wbinvd, lostEvents} = document;
  const table =
    vcpus.length === 0 ? [] : ['', ...(await tableLines(vcpus, COLUMNS, {header: true, paint, width}))];
  return [
    paint.bold(headline(document)),
    ...wrappedFacts(
      [
        printable(
          `VM of process ${vm.pid} (${vm.command}), descriptor ${vm.fd}${vm.socket === null ? '' : `, at ${vm.socket}`}`,
        ),
        `counted by ${WAYS[wbinvd.counted]}${lostEvents === 0 ? '' : `; ${grouped(lostEvents)} events lost, so not all exits were timed`}`,
        'kvfio looks for threads every 50 ms, and does not count what a vCPU does before that.',
      ],
      width,
    ),
    ...table,
    ...(vcpus.some(({timed}) => timed > 0) ? wrappedFacts(ABOUT_TIMES, width) : []),
    ...histogramsOf(vcpus, {paint, width}),
  ];
};

const ABOUT_TIMES = [
  'EXITS are all that the kernel counted; TIMED are those of which the buffer still had the exit and the entry after it.',
  'The times are in ns, from leaving the guest to entering it again, with what tracing costs.',
];

/** Histograms of the vCPUs with the most timed exits. */
const histogramsOf = (
  vcpus: readonly AgainstVcpu[],
  look: {paint: ChalkInstance; width: number | null},
): string[] => {
  const timed = vcpus.filter(({timed: count}) => count > 0).sort((a, b) => b.timed - a.timed);
  return [
    ...timed
      .slice(0, HISTOGRAMS)
      .flatMap(({vcpu, histogram}) =>
        histogram === null ? [] : ['', ...histogramLines(`vCPU ${vcpu}`, histogram, {factor: 1, ...look})],
      ),
    ...(timed.length > HISTOGRAMS
      ? ['', `--svg and --json have the histograms of ${timed.length - HISTOGRAMS} more vCPUs`]
      : []),
  ];
};

const HISTOGRAMS = 2;

const headline = ({wbinvd: {exits, perSecond, uncounted}, seconds, ended}: AgainstDocument): string => {
  const least = uncounted === 0 ? '' : 'at least ';
  const rate = exits === 0 ? '' : `, ${grouped(perSecond, perSecond < 100 ? 1 : 0)} a second`;
  return `${least}${exits === 0 ? 'no' : grouped(exits)} WBINVD ${exits === 1 ? 'exit' : 'exits'} in ${grouped(seconds, 1)} s${rate}${ENDINGS[ended]}`;
};

const ENDINGS: Record<AgainstDocument['ended'], string> = {
  duration: '',
  interrupted: ', then it was interrupted',
  'vm-ended': ', then the VM ended',
};

const WAYS: Record<AgainstDocument['wbinvd']['counted'], string> = {
  histogram: 'a histogram in the kernel',
  buffer: 'the statistics of a trace buffer',
};

const time = (
  name: string,
  value: (figures: NonNullable<AgainstVcpu['nanoseconds']>) => number,
): Column<AgainstVcpu> => ({
  name,
  text: ({nanoseconds}) => (nanoseconds === null ? '' : grouped(value(nanoseconds))),
});

const COLUMNS: Column<AgainstVcpu>[] = [
  {name: 'vcpu', text: ({vcpu}) => String(vcpu)},
  {name: 'exits', text: ({exits}) => (exits === null ? '' : grouped(exits))},
  {name: 'timed', text: ({timed}) => grouped(timed)},
  time('min', ({min}) => min),
  time('median', ({median}) => median),
  time('p90', ({p90}) => p90),
  time('p99', ({p99}) => p99),
  time('p99.9', ({p999}) => p999),
  time('max', ({max}) => max),
  time('mean', ({mean}) => mean),
];
