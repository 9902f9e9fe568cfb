import {Flags} from '@oclif/core';
import {SAMPLES_MAX} from '../../probe/run.js';
import {OPERATIONS, type Operation} from '../../probe/series.js';
import {INT_MAX} from './int-max.js';
import {timeoutFlag, vmFlags} from './vm-flags.js';

const {'vm-sock': vmSock, pid, 'vm-fd': vmFd, wait} = vmFlags;

/** Flags that say what the probe's own guest does, and so none of another way. */
const OWN_GUEST = ['samples', 'cpu', 'cpus-visited', 'dirty', 'subtract-empty', 'csv'];

export const probeFlags = {
  operation: Flags.option({
    options: OPERATIONS,
    multiple: true,
    default: (): Promise<Operation[]> => Promise.resolve(['wbinvd']),
  })({
    helpValue: 'NAME',
    summary: 'also wbnoinvd, cpuid, pio, empty',
    description:
      'what to time: wbinvd, wbnoinvd, cpuid (which flushes nothing), pio (an OUT that KVM itself answers), or empty (no instruction); kvfio interleaves several',
  }),
  samples: Flags.integer({
    helpGroup: 'CONDITIONS',
    min: 1,
    helpValue: 'N',
    description:
      'samples of each operation and phase; default 10000, with --group 1000, with --duration as many as fit',
  }),
  warmup: Flags.integer({
    helpGroup: 'CONDITIONS',
    min: 0,
    max: SAMPLES_MAX,
    default: 100,
    helpValue: 'N',
    description: 'samples of each operation that kvfio takes first and does not record',
  }),
  duration: Flags.integer({
    min: 1,
    max: 86_400,
    helpValue: 'SECONDS',
    description: 'end after this time, for all phases together',
  }),
  spread: Flags.integer({
    helpGroup: 'CONDITIONS',
    min: 0,
    max: 86_400,
    default: 2,
    helpValue: 'SECONDS',
    description:
      'make each phase last at least this long, so that one short disturbance of the host does not affect all samples',
  }),
  cpu: Flags.integer({
    helpGroup: 'CONDITIONS',
    min: 0,
    max: INT_MAX,
    helpValue: 'N',
    description: 'keep the vCPU on this CPU of the host',
  }),
  'cpus-visited': Flags.integer({
    helpGroup: 'CONDITIONS',
    min: 1,
    max: INT_MAX,
    helpValue: 'N',
    description:
      'move the vCPU over N CPUs of the host before each sample: KVM flushes the caches of every CPU where it has been',
  }),
  dirty: Flags.string({
    helpGroup: 'CONDITIONS',
    helpValue: 'SIZE',
    description: 'make the guest write to so much memory before each sample, such as 8M',
  }),
  'subtract-empty': Flags.boolean({
    helpGroup: 'CONDITIONS',
    default: false,
    description: 'measure the operation empty, too, and subtract its median',
  }),
  group: Flags.integer({
    char: 'g',
    multiple: true,
    min: 0,
    max: INT_MAX,
    helpValue: 'N',
    helpGroup: 'GROUPS',
    summary: 'measure before, with and after this IOMMU group',
    description: 'measure before, with and after this IOMMU group; kvfio adds several groups together',
  }),
  'allow-host-flush': Flags.boolean({
    helpGroup: 'GROUPS',
    summary: 'let WBINVD flush the caches of this host',
    description: 'let WBINVD flush the caches of this host, if the groups make KVM execute it',
  }),
  csv: Flags.boolean({
    exclusive: ['json'],
    helpGroup: 'OUTPUT',
    description:
      'print the raw samples as comma-separated values; the column phase repeats the column when under older names',
  }),
  svg: Flags.string({
    helpValue: 'FILE',
    helpGroup: 'OUTPUT',
    description:
      'also draw histograms and cumulative curves into this file, even for --compare and --against',
  }),
  force: Flags.boolean({
    dependsOn: ['svg'],
    helpGroup: 'OUTPUT',
    description: 'replace the file of --svg if it exists',
  }),
  compare: Flags.string({
    multiple: true,
    helpValue: 'FILE FILE',
    helpGroup: 'OUTPUT',
    exclusive: ['against', 'group', 'duration', ...OWN_GUEST],
    description: 'measure nothing, and compare two documents that --json has printed',
  }),
  against: Flags.boolean({
    helpGroup: 'AGAINST',
    exclusive: ['group', ...OWN_GUEST],
    description:
      'count and time the WBINVD exits of a running VM instead, by tracepoints, for --duration (default 10); needs root',
  }),
  'vm-sock': {...vmSock, dependsOn: ['against'], helpGroup: 'AGAINST'},
  pid: {...pid, dependsOn: ['against'], helpGroup: 'AGAINST'},
  'vm-fd': {...vmFd, helpGroup: 'AGAINST'},
  timeout: timeoutFlag('AGAINST'),
  wait: {...wait, dependsOn: ['against'], helpGroup: 'AGAINST'},
};

/** What they were given as. */
export interface ProbeFlags {
  operation: Operation[];
  samples: number | undefined;
  warmup: number;
  duration: number | undefined;
  spread: number;
  cpu: number | undefined;
  'cpus-visited': number | undefined;
  dirty: string | undefined;
  'subtract-empty': boolean;
  group: number[] | undefined;
  'allow-host-flush': boolean;
  csv: boolean;
  svg: string | undefined;
  force: boolean;
}
