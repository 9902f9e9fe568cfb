import {setFlagsFromString} from 'node:v8';
import {once} from 'node:events';
import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {compareLines} from '../cli/compare-text.js';
import {EndingSignals} from '../cli/ending-signals.js';
import {probeAnswerLines} from '../cli/probe-answer.js';
import {Progress} from '../cli/progress.js';
import {parseSize} from '../cli/size.js';
import {Failure} from '../failure.js';
import {DirectoryTree} from '../linux/directory-tree.js';
import {checkReplaceable, replaceFile} from '../linux/replace-file.js';
import {compareRuns, type CompareDocument} from '../probe/compare.js';
import {csvChunks} from '../probe/csv.js';
import {readMachineRecord} from '../probe/machine-record.js';
import {probeDocument, type ProbeDocument} from '../probe/probe-document.js';
import {DIRTY_MAX, run, SAMPLES_MAX, type Run} from '../probe/run.js';
import {OPERATIONS, type Operation} from '../probe/series.js';
import {svgOf} from '../probe/svg.js';

export default class Probe extends BaseCommand {
  static override aliases = ['wbinvd-probe'];

  static override summary = 'Measure in a guest what a WBINVD costs, and what a group does to it.';

  static override description = `WBINVD always makes KVM leave the guest. Whether the host then writes back and empties its caches depends on the VM: it does when one of the VM's groups is not coherent. The probe times the instruction in a VM of its own, which has one vCPU and no devices. The time is that of the guest, by its own time-stamp counter, from before the instruction to after it.

--group measures three times in one VM: before the groups are added to its kvm-vfio device, with them, and after they are deleted. They are deleted and free afterwards, also after Ctrl-C. A WBINVD that is executed stops other programs of this host for up to milliseconds, so it needs --allow-host-flush.

Ctrl-C ends a run with what was measured until then. A run has at most ${SAMPLES_MAX} samples, operations and phases together.`;

  static override examples = [
    {
      description: 'What a WBINVD exit costs, and a CPUID exit for comparison:',
      command: '<%= config.bin %> <%= command.id %> --operation wbinvd --operation cpuid --cpu 3',
    },
    {
      description: 'What group 12 does to it:',
      command: '<%= config.bin %> <%= command.id %> --group 12 --allow-host-flush --dirty 8M',
    },
    {
      description: 'Two kernels side by side:',
      command: '<%= config.bin %> <%= command.id %> --compare 6.12.json 7.3.json',
    },
  ];

  static override flags = {
    operation: Flags.option({
      options: OPERATIONS,
      multiple: true,
      default: (): Promise<Operation[]> => Promise.resolve(['wbinvd']),
    })({
      description:
        'what to time: wbinvd; wbnoinvd, where the CPU has it; cpuid, an exit that flushes nothing; pio, an OUT that KVM itself answers (KVM_IOEVENTFD); empty, the bracket alone. Several are interleaved',
    }),
    samples: Flags.integer({
      min: 1,
      helpValue: 'N',
      description:
        'of each operation in each phase; the default is 10000, with --group 1000, with --duration as many as fit',
    }),
    warmup: Flags.integer({
      min: 0,
      max: SAMPLES_MAX,
      default: 100,
      helpValue: 'N',
      description: 'of each operation, before those and not recorded',
    }),
    duration: Flags.integer({
      min: 1,
      max: 86_400,
      helpValue: 'SECONDS',
      description: 'end when this is over, of all phases together',
    }),
    spread: Flags.integer({
      min: 0,
      max: 86_400,
      default: 2,
      helpValue: 'SECONDS',
      description:
        'spread the samples of each phase over that time, when they take less: a host is disturbed for tenths of a second, and a shorter run sees one state of it',
    }),
    cpu: Flags.integer({min: 0, helpValue: 'N', description: 'keep the vCPU on this CPU of the host'}),
    'cpus-visited': Flags.integer({
      min: 1,
      helpValue: 'N',
      description:
        'move the vCPU over N CPUs of the host before each sample: KVM flushes all those where it has been',
    }),
    dirty: Flags.string({
      helpValue: 'SIZE',
      description: 'have the guest write to that much memory before each sample, such as 8M',
    }),
    'subtract-empty': Flags.boolean({
      default: false,
      description: 'take the median of the empty bracket off; adds --operation empty',
    }),
    group: Flags.integer({
      char: 'g',
      multiple: true,
      min: 0,
      helpValue: 'N',
      helpGroup: 'GROUPS',
      description: 'measure before, with and after this IOMMU group; several are added together',
    }),
    'allow-host-flush': Flags.boolean({
      helpGroup: 'GROUPS',
      description: 'let WBINVD flush the caches of this host, where the groups make KVM execute it',
    }),
    csv: Flags.boolean({
      exclusive: ['json'],
      helpGroup: 'OUTPUT',
      description: 'print the raw samples as comma-separated values',
    }),
    svg: Flags.string({
      helpValue: 'FILE',
      helpGroup: 'OUTPUT',
      description: 'draw the histograms and cumulative curves into this file too',
    }),
    force: Flags.boolean({
      dependsOn: ['svg'],
      helpGroup: 'OUTPUT',
      description: 'replace the file when it exists',
    }),
    compare: Flags.string({
      multiple: true,
      helpValue: 'FILE FILE',
      helpGroup: 'OUTPUT',
      exclusive: ['group', 'csv', 'svg', 'samples', 'duration', 'cpu', 'cpus-visited', 'dirty'],
      description: 'measure nothing, and put two documents of --json side by side',
    }),
  };

  async run(): Promise<ProbeDocument | CompareDocument> {
    const {flags} = await this.parse(Probe);
    // the statistics of a million samples are worth compiling, unlike what other commands do
    setFlagsFromString('--opt');
    return flags.compare === undefined ? this.#measure(flags) : this.#compare(flags.compare);
  }

  async #measure(flags: ProbeFlags): Promise<ProbeDocument> {
    const {svg, force} = flags;
    if (svg !== undefined) checkReplaceable(svg, {force});
    const operations = operationsOf(flags);
    const {settings, result} = await this.#run(flags, operations);
    const machine = readMachineRecord(new DirectoryTree(), {
      pinnedCpu: result.cpus.pinned,
      kvfioVersion: this.config.version,
    });
    const document = probeDocument(result, {settings, machine});
    if (result.ended === 'interrupted') this.note('interrupted: this is what was measured until then');
    if (svg !== undefined) {
      const series = result.phases.flatMap((phase) => phase.series);
      const subtract = document.series.find(({subtracted}) => subtracted !== 0)?.subtracted ?? 0;
      const subtitle = [machine.cpu, machine.kernel, machine.kvmModule]
        .filter((part) => part !== null)
        .join(', ');
      replaceFile(svg, Buffer.from(svgOf(series, result.clock, {subtitle, subtract})), {force});
    }
    if (flags.csv) await printSamples(result);
    else if (!this.jsonEnabled()) this.printLines(await probeAnswerLines(document, await this.look()));
    return document;
  }

  async #run(
    flags: ProbeFlags,
    operations: Operation[],
  ): Promise<{settings: ProbeDocument['settings']; result: Run}> {
    const {group: groups = [], duration, warmup, spread} = flags;
    const samples = flags.samples ?? (duration !== undefined ? undefined : groups.length > 0 ? 1000 : 10_000);
    const dirty = flags.dirty === undefined ? 0 : roundUp(parseSize(flags.dirty, 'dirty', DIRTY_MAX), 64);
    using ending = new EndingSignals();
    using progress = new Progress();
    const result = await run({
      operations,
      samples,
      warmup,
      duration,
      spread,
      cpu: flags.cpu,
      dirty,
      cpusVisited: flags['cpus-visited'],
      groups,
      allowHostFlush: flags['allow-host-flush'],
      signal: ending.signal,
      onProgress: (phase, taken, wanted) => {
        progress.show(() => `${phase === 'alone' ? '' : `${phase}: `}${taken} of ${wanted} samples`);
      },
      onNotice: (line) => {
        progress.clear();
        this.note(line);
      },
    });
    const settings = {
      operations,
      samples: samples ?? null,
      warmup,
      duration: duration ?? null,
      spread: samples === undefined ? 0 : spread,
      dirty,
      subtracted: flags['subtract-empty'],
    };
    return {settings, result};
  }

  async #compare(files: readonly string[]): Promise<CompareDocument> {
    const [a, b, ...more] = files;
    if (a === undefined || b === undefined || more.length > 0) throw notTwo(files.length);
    const document = compareRuns(a, b);
    if (!this.jsonEnabled()) this.printLines(await compareLines(document, await this.look()));
    await this.warnOf(document.warnings);
    return document;
  }
}

interface ProbeFlags {
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

const operationsOf = (flags: ProbeFlags): Operation[] => [
  ...new Set([...flags.operation, ...(flags['subtract-empty'] ? (['empty'] as const) : [])]),
];

const printSamples = async ({phases, clock}: Run): Promise<void> => {
  const series = phases.flatMap((phase) => phase.series);
  for (const chunk of csvChunks(series, clock))
    if (!process.stdout.write(chunk)) await once(process.stdout, 'drain');
};

const roundUp = (value: number, multiple: number): number => Math.ceil(value / multiple) * multiple;

const notTwo = (count: number): Failure =>
  new Failure({
    code: 'USAGE',
    kind: 'usage',
    what: 'The command line was not understood.',
    why: `--compare takes two files, and ${count === 1 ? 'one was' : `${count} were`} given.`,
    hint: 'Name two files that "kvfio probe --json" has printed.',
  });
