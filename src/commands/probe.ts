import {BaseCommand} from '../cli/base-command.js';
import {compareLines} from '../cli/answers/compare-text.js';
import {EndingSignals} from '../cli/ending-signals.js';
import {againstLines} from '../cli/answers/against-text.js';
import {probeAnswerLines} from '../cli/answers/probe-answer.js';
import {probeFlags, type ProbeFlags} from '../cli/flags/probe-flags.js';
import {probeConditions, type ProbeConditions} from '../cli/flags/probe-conditions.js';
import {ProbeProgress} from '../cli/answers/probe-progress.js';
import {vmPlace, type VmFlagValues} from '../cli/flags/vm-flags.js';
import {usageFailure} from '../cli/usage/usage-failure.js';
import {writeStream} from '../cli/output/write-stream.js';
import type {Failure} from '../failure.js';
import {DirectoryTree} from '../host/directory-tree.js';
import {Deadline} from '../linux/deadline.js';
import {checkReplaceable, replaceFile} from '../linux/replace-file.js';
import {findVm} from '../probe/against/find-vm.js';
import {measureAgainst, type AgainstDocument} from '../probe/against/measure-against.js';
import {compareRuns, type CompareDocument} from '../probe/compare.js';
import {csvChunks} from '../probe/csv.js';
import {readMachineRecord, type MachineRecord} from '../probe/machine-record.js';
import {probeDocument, type ProbeDocument} from '../probe/probe-document.js';
import {run, SAMPLES_MAX, type Run} from '../probe/run.js';
import {nothingMeasured} from '../probe/nothing-measured.js';
import {drawingOfComparison, drawingOfExits, drawingOfRun} from '../probe/drawing/drawings.js';
import {svgOf, type Drawing} from '../probe/drawing/svg.js';

export default class Probe extends BaseCommand {
  static override aliases = ['wbinvd-probe'];

  static override summary = 'Measure what a WBINVD costs in a guest, and what an IOMMU group does to it.';

  static override description = `WBINVD makes the CPU leave the guest and enter KVM, which is an exit. If a group makes the VM non-coherent, KVM then flushes the caches of the host.

kvfio times the instruction in a VM of its own, which has one vCPU and no devices, by the time-stamp counter of that guest.

--group measures three times in one VM: before kvfio adds the groups to its kvm-vfio device, with them, and after kvfio has deleted them. The groups are free afterwards, even after Ctrl-C. A WBINVD that KVM executes stops other programs of this host for up to milliseconds, so it needs --allow-host-flush.

--against needs no VM of kvfio's own: it counts the WBINVD exits of a VM that runs on this host, by vCPU, with the time that each took. It does not stop that VM or change anything of it.

Ctrl-C ends a run, and kvfio reports what it has measured until then. A run has at most ${SAMPLES_MAX} samples, of all operations and phases together.`;

  static override usage = [
    'probe [--group N... [--allow-host-flush]] [FLAGS]',
    'probe --against (--vm-sock PATH | --pid PID) [FLAGS]',
    'probe --compare FILE FILE',
  ];

  static override examples = [
    {
      description: 'beside CPUID',
      command: '<%= config.bin %> <%= command.id %> --operation wbinvd --operation cpuid',
    },
    {
      description: '8 MiB are dirty',
      command: '<%= config.bin %> <%= command.id %> --group 12 --allow-host-flush --dirty 8M',
    },
    {
      description: 'how often a VM executes WBINVD',
      command: '<%= config.bin %> <%= command.id %> --against --pid 4711 --duration 60',
    },
    {
      description: 'two kernels side by side',
      command: '<%= config.bin %> <%= command.id %> --compare 6.12.json 7.3.json',
    },
  ];

  static override flags = probeFlags;

  async run(): Promise<ProbeDocument | CompareDocument | AgainstDocument> {
    const {flags} = await this.parse(Probe);
    // before anything is measured
    if (flags.svg !== undefined) checkReplaceable(flags.svg, flags);
    if (flags.compare !== undefined) return this.#compare(flags.compare, flags);
    return flags.against ? this.#against(flags) : this.#measure(flags);
  }

  async #measure(flags: ProbeFlags): Promise<ProbeDocument> {
    const {settings, options} = probeConditions(flags);
    const result = await this.#run(options, flags.dirty);
    if (result.phases.every(({series}) => series.every(({ticks}) => ticks.length === 0)))
      throw nothingMeasured(result);
    const machine = this.#machine(result.cpus.pinned);
    const document = probeDocument(result, {settings, machine});
    if (result.ended === 'interrupted') this.note('interrupted: this is what was measured until then');
    draw(flags, drawingOfRun(document));
    if (flags.csv) await printSamples(result);
    else if (!this.jsonEnabled()) this.printLines(await probeAnswerLines(document, await this.look()));
    return document;
  }

  async #run(options: ProbeConditions['options'], dirty: string | undefined): Promise<Run> {
    using ending = new EndingSignals();
    using progress = new ProbeProgress((line) => {
      this.note(line);
    }, dirty);
    const {onProgress, onNotice} = progress;
    return await run({...options, signal: ending.signal, onProgress, onNotice});
  }

  async #against(flags: AgainstFlags): Promise<AgainstDocument> {
    const {duration = 10, timeout, wait} = flags;
    const place = vmPlace({...flags, via: 'auto'});
    using ending = new EndingSignals();
    const patience = timeout * 1000;
    const vm = await findVm(place, {deadline: Deadline.after(patience), patience, wait});
    const document = await measureAgainst({
      vm,
      machine: this.#machine(null),
      seconds: duration,
      signal: ending.signal,
      onReady: () => {
        this.note(`counting the WBINVD exits of process ${vm.pid} (${vm.command}) for ${duration} s`);
      },
    });
    draw(flags, drawingOfExits(document));
    if (!this.jsonEnabled()) this.printLines(await againstLines(document, await this.look()));
    await this.warnOf(document.warnings);
    return document;
  }

  #machine(pinnedCpu: number | null): MachineRecord {
    return readMachineRecord(new DirectoryTree(), {pinnedCpu, kvfioVersion: this.config.version});
  }

  async #compare(files: readonly string[], flags: DrawFlags): Promise<CompareDocument> {
    const [a, b, ...more] = files;
    if (a === undefined || b === undefined || more.length > 0) throw notTwo(files.length);
    const document = compareRuns(a, b);
    draw(flags, drawingOfComparison(document));
    if (!this.jsonEnabled()) this.printLines(await compareLines(document, await this.look()));
    await this.warnOf(document.warnings);
    return document;
  }
}

type DrawFlags = Pick<ProbeFlags, 'svg' | 'force'>;

type AgainstFlags = Omit<VmFlagValues, 'via'> & DrawFlags & {duration: number | undefined};

const draw = ({svg, force}: DrawFlags, drawing: Drawing): void => {
  if (svg !== undefined) replaceFile(svg, Buffer.from(svgOf(drawing)), {force});
};

const printSamples = async ({phases, clock}: Run): Promise<void> => {
  const series = phases.flatMap((phase) => phase.series);
  await writeStream(csvChunks(series, clock));
};

const notTwo = (count: number): Failure =>
  usageFailure(
    `--compare takes two files, and ${count === 1 ? 'one was' : `${count} were`} given.`,
    'Name two files that "kvfio probe --json" has printed.',
  );
