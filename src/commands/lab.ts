import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {EndingSignals} from '../cli/ending-signals.js';
import {ACCELERATOR_CHOICES} from '../lab/accelerator.js';
import {LAB_ARCHES} from '../lab/arch.js';
import {LAB_IOMMUS} from '../lab/iommu-choice.js';
import {runLab, type LabMachine} from '../lab/lab.js';
import {LeftSession} from '../lab/session.js';
import {streamsFor, taskFor} from '../lab/own-streams.js';

/** What `kvfio lab --json` prints. */
export interface LabDocument extends LabMachine {
  schemaVersion: 1;
  /** Exit code of the command, which is also kvfio's own. */
  exitCode: number;
  /** What the command wrote, read as UTF-8. */
  stdout: string;
  stderr: string;
  /** Seconds until the command started. */
  bootSeconds: number;
  /** Seconds that the command took. */
  seconds: number;
}

/** Seconds that a command without a terminal may take. */
const DEFAULT_LIMIT = 1800;

/** Exit code of a program that a signal ended: 128 plus its number. */
const SIGNALLED = {SIGINT: 130, SIGPIPE: 141} as const;

export default class Lab extends BaseCommand {
  static override summary = 'Run a command in a throw-away guest with an emulated IOMMU, VFIO and KVM.';

  static override description = `Boots a QEMU guest on the files of this host, read-only, and runs COMMAND in it as root; without COMMAND, a shell or the script on stdin. kvfio is on its PATH. kvfio lab exits with the exit code of COMMAND.

What COMMAND writes is lost when the guest ends, unless it writes to the folder of --out. /tmp and /run are the guest's own.

By default the guest has an NVMe disk and a NIC in IOMMU groups of their own; a PCIe switch without ACS, behind which a NIC, a USB and a SATA controller share a group that is not viable; and a NIC that is bound to vfio-pci.

kvfio passes on stdout and stderr of COMMAND, unchanged and apart. On a terminal COMMAND gets a terminal instead, and Ctrl-] leaves the guest whatever it is doing.`;

  static override usage = 'lab [FLAGS] [-- COMMAND...]';

  static override examples = [
    {description: 'the groups of the guest', command: '<%= config.bin %> lab -- kvfio groups'},
    {description: 'a shell, with an AMD IOMMU', command: '<%= config.bin %> lab --iommu amd'},
    {
      description: 'another kernel, and keep the answer',
      command: '<%= config.bin %> lab --kernel 6.12 -- kvfio groups --json > groups.json',
    },
    {
      description: 'a kernel for arm64, with an SMMUv3',
      command: '<%= config.bin %> lab --arch arm64 --kernel 6.1 -- kvfio groups',
    },
    {description: 'a script', command: '<%= config.bin %> lab < script.sh'},
    {
      description: 'let the guest write to the host',
      command: "<%= config.bin %> lab --out results -- sh -c 'dmesg > $KVFIO_LAB_OUT/dmesg'",
    },
    {description: 'choose the devices', command: '<%= config.bin %> lab --pci edu --pci e1000e -- lspci'},
  ];

  static override flags = {
    iommu: Flags.option({
      options: LAB_IOMMUS,
      summary: 'IOMMU to emulate; intel-snoop has snoop control',
      description:
        'IOMMU to emulate, by default intel. intel has no snoop control, and intel-snoop has it; virtio needs Linux 6.12 for its driver; smmuv3 is the one of arm64',
    })(),
    arch: Flags.option({
      helpGroup: 'GUEST',
      options: LAB_ARCHES,
      default: 'amd64' as const,
      description:
        "the guest's architecture; QEMU emulates arm64, and kvfio downloads its programs by apt and npm",
    })(),
    kernel: Flags.string({
      helpValue: 'host|5.10|6.1|6.12|7.3|PATH',
      summary: "the host's kernel, a series of Debian's, or an image",
      description: `the guest's kernel: the host's own (the default if its files are readable), a series of Debian's packages (kvfio downloads it and does not install it), an image, or a folder with an unpacked package`,
    }),
    out: Flags.string({
      helpValue: 'DIR',
      summary: 'folder of this host that the guest may write to',
      description:
        'folder of this host that the guest may write to, under the same path and as $KVFIO_LAB_OUT; kvfio makes it if it is missing',
    }),
    pci: Flags.string({
      helpGroup: 'GUEST',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'DEVICE',
      description:
        'a -device argument of QEMU, in place of the default devices, such as nvme,serial=1,drive=disk with an empty disk of 64 MiB; "none" for no device',
    }),
    append: Flags.string({
      helpGroup: 'GUEST',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'WORD',
      description: "a word for the kernel's command line, such as intel_iommu=off",
    }),
    accel: Flags.option({
      helpGroup: 'GUEST',
      options: ACCELERATOR_CHOICES,
      default: 'auto' as const,
      description: 'what executes the guest: auto takes KVM if this host nests VMs, else emulation',
    })(),
    timeout: Flags.integer({
      helpGroup: 'GUEST',
      min: 1,
      max: 86_400,
      helpValue: 'SECONDS',
      description:
        'end the guest and exit with 124 if COMMAND takes longer; default 1800, and none on a terminal',
    }),
    install: Flags.boolean({description: 'install what the lab needs (Debian, as root)'}),
    verbose: Flags.boolean({
      char: 'v',
      helpGroup: 'GUEST',
      description: "show the guest's console on stderr",
    }),
  };

  override async run(): Promise<LabDocument | null> {
    const {own, program: command} = this.splitArgv();
    const {flags} = await this.parse(Lab, own);

    // a second signal ends kvfio at once
    using ending = new EndingSignals({onlyFirst: true});
    try {
      const onTerminal = process.stdin.isTTY && process.stdout.isTTY && !this.jsonEnabled();
      const limit = flags.timeout ?? (onTerminal ? undefined : DEFAULT_LIMIT);
      const result = await runLab({
        task: await taskFor(command, {onTerminal, limit, signal: ending.signal}),
        kvfio: [process.execPath, ...process.execArgv, process.argv[1] ?? ''],
        arch: flags.arch,
        iommu: flags.iommu,
        kernel: flags.kernel,
        accelerator: flags.accel,
        pci: flags.pci ?? [],
        parameters: flags.append ?? [],
        out: flags.out,
        install: flags.install,
        streams: streamsFor(command, onTerminal, this.jsonEnabled()),
        limit,
        signal: ending.signal,
        onNote: (line) => {
          this.note(line);
        },
        onBoot: (machine) => {
          const hint = onTerminal ? '; Ctrl-] leaves it' : '';
          if (onTerminal || flags.verbose) this.note(`booting ${described(machine)}${hint}`);
        },
        onConsole: flags.verbose
          ? (line) => {
              this.note(line);
            }
          : undefined,
      });
      process.exitCode = result.exitCode;
      return {
        schemaVersion: 1,
        ...result,
        stdout: result.stdout.toString('utf8'),
        stderr: result.stderr.toString('utf8'),
      };
    } catch (error) {
      ending.endAsReceived();
      if (error instanceof LeftSession) process.exitCode = SIGNALLED.SIGINT;
      else if (error instanceof Error && 'code' in error && error.code === 'EPIPE')
        process.exitCode = SIGNALLED.SIGPIPE;
      else throw error;
      return null;
    } finally {
      process.stdin.destroy();
    }
  }
}

const described = ({kernel, iommu, accelerator}: LabMachine): string =>
  `Linux ${kernel} with ${iommu === 'none' ? 'no IOMMU' : `IOMMU "${iommu}"`} under ${accelerator.toUpperCase()}`;
