import {mkdirSync, truncateSync, writeFileSync} from 'node:fs';
import {homedir, tmpdir} from 'node:os';
import {join} from 'node:path';
import {Failure} from '../failure.js';
import type {AcceleratorChoice, LabAccelerator} from './accelerator.js';
import {acceleratorOf, archParts, iommuOf, type LabArch} from './arch.js';
import {aptFor, type KernelSource} from './debian-kernel.js';
import {decompressedImage} from './decompressed-image.js';
import {refuseUnknownModels} from './device-models.js';
import {GUEST_NODE, otherArchitectureRoot} from './other-architecture-root.js';
import {LabGuest, lastLines} from './guest.js';
import {initrd} from './initrd.js';
import {iommuChoice, type LabIommu} from './iommu-choice.js';
import {checkKernelWord, findKernel} from './kernel.js';
import type {LabKernel} from './lab-kernel.js';
import {findPrograms, which, type Programs} from './programs.js';
import {qemuArguments} from './qemu.js';
import {PID_FILE, removeFolder, removeStale, temporaryFolder} from './scratch.js';
import {runSession, type DataStreams, type TerminalStreams} from './session.js';
import {taskFiles, type LabTask} from './task.js';
import {topology, type Topology} from './topology.js';
import {within} from './within.js';
import {writableFolder} from './writable-folder.js';

/** Where the session's input comes from and its output goes to. What is absent of a data stream's output is collected. */
export type LabStreams = Partial<DataStreams> | TerminalStreams;

export interface LabOptions {
  task: LabTask;
  /** Program and arguments that the word `kvfio` means in the guest. */
  kvfio: string[];
  /** Default `amd64`. */
  arch?: LabArch | undefined;
  /** Default: the usual one of the architecture. */
  iommu?: LabIommu | undefined;
  /** `host`, a series such as `6.12`, or a path (kernel.ts). */
  kernel?: string | undefined;
  /** Default `auto`. */
  accelerator?: AcceleratorChoice;
  /** QEMU `-device` arguments that replace the default topology. */
  pci?: string[];
  /** Folder of the host that the guest may write to; made where it is missing. */
  out?: string | undefined;
  /** Words for the kernel's command line, after the lab's own. */
  parameters?: readonly string[];
  /** ACPI tables that take the place of the machine's, by signature (drivers/acpi/tables.c, acpi_table_upgrade()). */
  tables?: Readonly<Record<string, Buffer>>;
  /** Install missing programs. */
  install?: boolean;
  /** Absent, the session reads an empty input and its output is in the result. */
  streams?: LabStreams;
  /** Default: the process's own. */
  cwd?: string;
  environment?: NodeJS.ProcessEnv;
  /** Seconds until the guest must have booted; default 180, for two labs at once on a slow machine. */
  bootLimit?: number;
  /** Seconds that the session may take; default none. */
  limit?: number | undefined;
  /** Receives each line of the kernel's console, which then says more. */
  onConsole?: ((line: string) => void) | undefined;
  /** Receives one line on what takes long. */
  onNote?: (line: string) => void;
  /** Receives the machine that is about to boot. */
  onBoot?: (machine: LabMachine) => void;
  /** Ends the lab early; {@link runLab} then rejects with its reason. */
  signal?: AbortSignal;
}

export interface LabMachine {
  arch: LabArch;
  /** Release of the guest's kernel. */
  kernel: string;
  iommu: LabIommu;
  accelerator: LabAccelerator;
}

export interface LabResult extends LabMachine {
  /** Exit code of the session. */
  exitCode: number;
  /** What was collected; empty where a stream went elsewhere. */
  stdout: Buffer;
  stderr: Buffer;
  /** Seconds until the session started. */
  bootSeconds: number;
  /** Seconds that the session took. */
  seconds: number;
}

/**
 * Boots a throw-away guest, runs a task in it, and leaves nothing behind: when the promise settles no QEMU and no
 * temporary file is left. The same holds soon after this process is killed.
 *
 * Throws a Failure when the guest cannot be started, dies, or exceeds a limit.
 */
export const runLab = async (options: LabOptions): Promise<LabResult> => {
  if (process.arch !== 'x64') throw wrongProcessor();
  const {install = false, onNote = () => undefined, signal, arch = 'amd64'} = options;
  const iommu = iommuOf(arch, options.iommu);
  const layout = topology(options.pci ?? []);
  checkKernelWord(options.kernel);
  const path = process.env['PATH'] ?? '';
  const {qemu} = archParts(arch);
  await refuseUnknownModels(options.pci ?? [], {name: qemu, path: which(qemu, path)});
  const cache = writableFolder(
    join(cacheHome(), 'kvfio', 'lab', ...(arch === 'amd64' ? [] : [arch])),
    'in XDG_CACHE_HOME',
  );
  const where = {arch, cache, path, install, signal, onNote};
  // a kernel that does not exist is refused before a program is missed or installed
  const named = options.kernel === undefined ? null : await findKernel(options.kernel, where);
  const programs = await findPrograms({path, install, signal, onNote, qemu});
  const accelerator = acceleratorOf(arch, options.accelerator ?? 'auto');
  const kernel = await (named ?? (await findKernel(undefined, where)))(programs);
  const layer = arch === 'amd64' ? null : await layerOf(where);
  const out = options.out === undefined ? null : writableFolder(options.out, 'with --out');
  signal?.throwIfAborted();

  const machine: LabMachine = {arch, kernel: kernel.release, iommu, accelerator};
  options.onBoot?.(machine);
  const started = startGuest({
    options,
    machine,
    kernel,
    programs,
    out,
    layer,
    layout,
    image: imageOf(kernel, machine, {...where, parameters: options.parameters ?? []}),
  });
  try {
    return {...machine, ...(await run(started, options))};
  } finally {
    await started.guest.stop();
  }
};

/** What QEMU boots. The code of a bzImage that runs in real mode is needed to set a mode of the display. */
const imageOf = (
  {image}: LabKernel,
  {arch, accelerator}: LabMachine,
  {parameters, ...where}: {parameters: readonly string[]; cache: string; path: string},
): string =>
  arch === 'amd64' && accelerator === 'tcg' && !parameters.some((word) => word.startsWith('vga='))
    ? (decompressedImage(image, where) ?? image)
    : image;

/** Programs of the guest's architecture. */
const layerOf = async (source: KernelSource): Promise<string> => {
  const apt = await aptFor(source);
  if (apt === null) throw noForeignPrograms(source.arch);
  return await otherArchitectureRoot({...source, apt});
};

interface GuestPlan {
  options: LabOptions;
  machine: LabMachine;
  kernel: LabKernel;
  programs: Programs;
  /** Real path of the shared folder. */
  out: string | null;
  /** Folder that is laid over the host's files. */
  layer: string | null;
  layout: Topology;
  /** Path of what QEMU boots. */
  image: string;
}

interface StartedGuest {
  guest: LabGuest;
  /** Folder through which guest and kvfio hand over data. */
  share: string;
}

const startGuest = ({
  options,
  machine,
  kernel,
  programs,
  out,
  layer,
  layout,
  image,
}: GuestPlan): StartedGuest => {
  const temporary = writableFolder(tmpdir(), 'in TMPDIR');
  removeStale(temporary);
  const folder = temporaryFolder(temporary);
  try {
    const file = (name: string): string => join(folder, name);
    mkdirSync(file('share'));
    const ramdisk = initrd({
      kernel,
      busybox: programs.busybox,
      tables: options.tables ?? {},
      guestBusybox: layer === null ? programs.busybox : join(layer, 'usr/bin/busybox'),
      settings: settings(options, {machine, kernel, programs, out, layer, layout}),
      files: taskFiles(options.task, {
        kvfio: options.kvfio,
        cwd: options.cwd ?? process.cwd(),
        environment: options.environment ?? process.env,
        out: out !== null,
        foreign: layer !== null,
      }),
    });
    writeFileSync(file('initrd'), ramdisk);
    writeFileSync(file('disk'), '');
    truncateSync(file('disk'), DISK_SIZE);
    const guest = new LabGuest({
      busybox: programs.busybox,
      qemu: programs.qemu,
      arguments: qemuArguments({
        ...machine,
        topology: layout,
        kernel: image,
        initrd: file('initrd'),
        disk: file('disk'),
        pidFile: file(PID_FILE),
        share: file('share'),
        layer,
        out,
        talkative: options.onConsole !== undefined,
        parameters: options.parameters ?? [],
      }),
      folder,
      onConsole: options.onConsole ?? (() => undefined),
      onUnsafe: (module) => {
        options.onNote?.(
          `Linux ${machine.kernel} remaps no interrupts with the IOMMU "${machine.iommu}", so allow_unsafe_interrupts of ${module} is set`,
        );
      },
    });
    return {guest, share: file('share')};
  } catch (error) {
    removeFolder(folder);
    throw error;
  }
};

/** Room for a file system on the NVMe disk; the file behind it is sparse. */
const DISK_SIZE = 64 * 1024 * 1024;

/** Variables of guest-scripts.ts. */
const settings = (
  {streams = {}}: LabOptions,
  {machine, kernel, programs, out, layer, layout}: Omit<GuestPlan, 'options' | 'image'>,
): Record<string, string> => ({
  control: archParts(machine.arch).ports.control,
  terminal_port: archParts(machine.arch).ports.terminal,
  layer: flag(layer !== null),
  foreign_node: GUEST_NODE,
  node: process.execPath,
  release: kernel.release,
  modules: kernel.modules ?? '',
  without_9p:
    kernel.modules === null
      ? `which are not built in, and none of the folders ${kernel.searched.join(', ')} has its modules`
      : `which are neither built in nor among the modules in ${kernel.modules}`,
  modprobe: layer === null ? programs.modprobe : '/usr/sbin/modprobe',
  vfio_ports: layout.vfioPorts.join(' '),
  may_not_remap: flag(iommuChoice(machine.iommu).mayNotRemap),
  out: out ?? '',
  terminal: flag(isTerminal(streams)),
  terminal_stderr: flag(isTerminal(streams) && streams.stderr === undefined),
  stdin: flag(!isTerminal(streams) && streams.stdin !== undefined),
});

const flag = (value: boolean): string => (value ? 'yes' : '');

/** Boots the guest, runs the session, and measures both. */
const run = async (
  {guest, share}: StartedGuest,
  options: LabOptions,
): Promise<Omit<LabResult, keyof LabMachine>> => {
  const {bootLimit = 180, limit, signal} = options;
  const output: Record<'stdout' | 'stderr', Buffer[]> = {stdout: [], stderr: []};
  const streams = options.streams ?? {};
  const spawned = performance.now();
  await within(guest.begun(), {seconds: bootLimit, expired: () => bootTimedOut(bootLimit, guest), signal});
  const begun = performance.now();
  const exitCode = await runSession({
    guest,
    share,
    limit,
    signal,
    streams: isTerminal(streams)
      ? streams
      : {
          stdin: streams.stdin,
          stdout: streams.stdout ?? ((data) => void output.stdout.push(data)),
          stderr: streams.stderr ?? ((data) => void output.stderr.push(data)),
        },
  });
  return {
    exitCode,
    stdout: Buffer.concat(output.stdout),
    stderr: Buffer.concat(output.stderr),
    bootSeconds: seconds(begun - spawned),
    seconds: seconds(performance.now() - begun),
  };
};

/** XDG Base Directory Specification: what is not an absolute path does not count. */
const cacheHome = (): string => {
  const home = process.env['XDG_CACHE_HOME'] ?? '';
  return home.startsWith('/') ? home : join(homedir(), '.cache');
};

const seconds = (milliseconds: number): number => Math.round(milliseconds) / 1000;

const isTerminal = (streams: LabStreams): streams is TerminalStreams => 'output' in streams;

const bootTimedOut = (limit: number, guest: LabGuest): Failure =>
  new Failure({
    code: 'LAB_BOOT_TIMEOUT',
    kind: 'timeout',
    what: `The lab guest did not boot within ${limit} s.`,
    why: lastLines(guest.console).join('\n'),
    hint: 'Try another kernel with --kernel, or look at the whole console with --verbose.',
  });

const noForeignPrograms = (arch: LabArch): Failure =>
  new Failure({
    code: 'LAB_NO_FOREIGN_PROGRAMS',
    kind: 'cannotDecide',
    what: `A guest of the architecture ${arch} cannot be made on this host.`,
    why: 'Its programs come from packages of Debian by apt, and this host is not Debian.',
    hint: 'Run kvfio lab on Debian, or without --arch.',
  });

const wrongProcessor = (): Failure =>
  new Failure({
    code: 'LAB_WRONG_PROCESSOR',
    kind: 'cannotDecide',
    what: 'The lab cannot run on this host.',
    why: `It boots an x86-64 guest from the programs of the host, whose processor is ${process.arch}.`,
    hint: 'Run kvfio lab on an x86-64 host.',
  });
