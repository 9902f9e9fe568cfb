/**
 * Asks the running kernel what KVM and VFIO make of one PCI device, and prints the answer as one line of JSON:
 *
 *     node kernel-answer.mjs 0000:01:00.0
 *
 * Needs root, kvm, vfio-pci, vfio_iommu_type1 and a mounted tracefs. The device is taken from its driver and given
 * back, so this is for a machine that can do without the device: a guest of the lab.
 */
import {appendFileSync, existsSync, readFileSync, readlinkSync, writeFileSync} from 'node:fs';
import {basename} from 'node:path';
import {Failure} from '../../src/failure.js';
import {SyscallError} from '../../src/linux/errno.js';
import {KVM_DEV_TYPE_VFIO, VFIO_DMA_CC_IOMMU, VFIO_TYPE1v2_IOMMU} from '../../src/linux/ioctl.js';
import {Kvm} from '../../src/kvm/system.js';
import {VfioContainer, VfioGroup} from '../../src/vfio/ioctls.js';

export interface KernelAnswer {
  group: number;
  /** VFIO_DMA_CC_IOMMU of the container before VFIO_SET_IOMMU, when the kernel cannot know yet. */
  dmaCcBefore: number;
  dmaCcAfter: number;
  /** How often KVM took the VM for non-coherent and back, over one ADD and one DEL. */
  registerHits: number;
  unregisterHits: number;
  /** Error of a second ADD and a second DEL of the same file; null when there was none. */
  secondAdd: string | null;
  secondDelete: string | null;
}

const PCI = '/sys/bus/pci';
const TRACEFS = ['/sys/kernel/tracing', '/sys/kernel/debug/tracing'];

const main = (): void => {
  // a signal that has a listener waits until this script, which is synchronous, has put everything back
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));
  try {
    const address = process.argv[2] ?? '';
    if (!existsSync(`${PCI}/devices/${address}/vendor`)) {
      throw failure(
        'There is no such PCI device.',
        `"${address}" is not in ${PCI}/devices.`,
        'Name one as 0000:01:00.0.',
      );
    }
    console.log(JSON.stringify(answerFor(address)));
  } catch (error) {
    if (!(error instanceof Failure || error instanceof SyscallError)) throw error;
    console.error(error instanceof Failure ? `${error.message} ${error.hint}` : error.message);
    process.exitCode = error instanceof Failure ? error.exitCode : 6;
  }
};

const answerFor = (address: string): KernelAnswer => {
  const tracefs = TRACEFS.find((directory) => existsSync(`${directory}/kprobe_events`));
  if (tracefs === undefined) {
    throw failure(
      'The kernel cannot be observed.',
      `There is no kprobe_events in ${TRACEFS.join(' or ')}.`,
      'Run "mount -t tracefs nodev /sys/kernel/tracing" as root.',
    );
  }
  using binding = new VfioPciBinding(address);
  const {group} = binding;
  using vfioGroup = VfioGroup.open(`/dev/vfio/${group}`);
  if (!vfioGroup.status().viable) {
    throw failure(
      `Group ${group} is not viable.`,
      'The host uses one of its devices.',
      `Look at /sys/kernel/iommu_groups/${group}/devices.`,
    );
  }

  using container = VfioContainer.open();
  const dmaCcBefore = container.checkExtension(VFIO_DMA_CC_IOMMU);
  vfioGroup.setContainer(container);
  container.setIommu(VFIO_TYPE1v2_IOMMU);
  const dmaCcAfter = container.checkExtension(VFIO_DMA_CC_IOMMU);

  using tracer = new Tracer(tracefs);
  using registered = tracer.count('kvm_arch_register_noncoherent_dma');
  using unregistered = tracer.count('kvm_arch_unregister_noncoherent_dma');
  using kvm = Kvm.open();
  using vm = kvm.createVm();
  using device = vm.createDevice(KVM_DEV_TYPE_VFIO);
  // up to Linux 6.1 KVM asks the container, so ADD comes after the container is complete
  device.addFile(vfioGroup);
  const secondAdd = errorOf(() => {
    device.addFile(vfioGroup);
  });
  device.deleteFile(vfioGroup);
  const secondDelete = errorOf(() => {
    device.deleteFile(vfioGroup);
  });
  return {
    group,
    dmaCcBefore,
    dmaCcAfter,
    registerHits: registered.hits(),
    unregisterHits: unregistered.hits(),
    secondAdd,
    secondDelete,
  };
};

/** Has a PCI device bound to vfio-pci for as long as it lives, and then to what it was bound to before. */
class VfioPciBinding implements Disposable {
  readonly #device: string;
  readonly #address: string;
  readonly #driver: string | undefined;
  readonly #override: string;

  constructor(address: string) {
    this.#address = address;
    this.#device = `${PCI}/devices/${address}`;
    this.#driver = this.#currentDriver();
    const override = readFileSync(`${this.#device}/driver_override`, 'utf8').trim();
    this.#override = override === '(null)' ? '' : override;
    if (this.#driver === 'vfio-pci') return;
    try {
      this.#bind('vfio-pci');
      if (this.#currentDriver() !== 'vfio-pci') {
        throw failure(
          `${address} cannot be bound to vfio-pci.`,
          'The driver did not take it.',
          'Load vfio-pci, and look for its reason in the kernel log.',
        );
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Number of the IOMMU group; a device that vfio-pci has taken is in one. */
  get group(): number {
    return Number(basename(readlinkSync(`${this.#device}/iommu_group`)));
  }

  [Symbol.dispose](): void {
    if (this.#driver === 'vfio-pci') return;
    this.#bind(this.#override, this.#driver !== undefined);
    const driver = this.#currentDriver();
    if (driver === this.#driver) return;
    throw failure(
      `${this.#address} was not given back.`,
      `It was bound to ${this.#driver ?? 'no driver'} before and to ${driver ?? 'no driver'} now.`,
      'Bind it by hand.',
    );
  }

  /** Lets the kernel choose a driver anew, with `override` as the only candidate unless that is empty. */
  #bind(override: string, probe = true): void {
    if (this.#currentDriver() !== undefined) writeFileSync(`${this.#device}/driver/unbind`, this.#address);
    writeFileSync(`${this.#device}/driver_override`, `${override}\n`);
    if (probe) writeFileSync(`${PCI}/drivers_probe`, this.#address);
  }

  #currentDriver(): string | undefined {
    const link = `${this.#device}/driver`;
    return existsSync(link) ? basename(readlinkSync(link)) : undefined;
  }
}

/**
 * The kernel's tracer, kept from recording the names of tasks for as long as this lives. For that it would patch code of the scheduler, and a guest
 * under TCG with more than one CPU now and then hangs in the breakpoint that such a patch leaves for a moment.
 */
class Tracer implements Disposable {
  readonly #tracefs: string;
  readonly #option: string;
  readonly #before: string;

  constructor(tracefs: string) {
    this.#tracefs = tracefs;
    this.#option = `${tracefs}/options/record-cmd`;
    this.#before = readFileSync(this.#option, 'utf8');
    writeFileSync(this.#option, '0');
  }

  count(symbol: string): Kprobe {
    return new Kprobe(this.#tracefs, symbol);
  }

  [Symbol.dispose](): void {
    writeFileSync(this.#option, this.#before.trim());
  }
}

/** Counts the calls of one kernel function for as long as it lives. */
class Kprobe implements Disposable {
  readonly #tracefs: string;
  readonly #name: string;

  constructor(tracefs: string, symbol: string) {
    this.#tracefs = tracefs;
    this.#name = `kvfio_${process.pid}_${symbol}`;
    appendFileSync(`${tracefs}/kprobe_events`, `p:kvfio/${this.#name} ${symbol}\n`);
    try {
      this.#enable(true);
    } catch (error) {
      this.#remove();
      throw error;
    }
  }

  hits(): number {
    // one line per probe: name, hits, missed
    const lines = readFileSync(`${this.#tracefs}/kprobe_profile`, 'utf8').split('\n');
    const [, hits, missed] =
      lines.map((line) => line.trim().split(/\s+/)).find(([name]) => name === this.#name) ?? [];
    if (hits === undefined || Number(missed) > 0) {
      throw failure(
        `Calls of ${this.#name} were not counted.`,
        `${missed ?? 'All'} were missed.`,
        'Try again.',
      );
    }
    return Number(hits);
  }

  [Symbol.dispose](): void {
    this.#enable(false);
    this.#remove();
  }

  #enable(on: boolean): void {
    writeFileSync(`${this.#tracefs}/events/kvfio/${this.#name}/enable`, on ? '1' : '0');
  }

  #remove(): void {
    appendFileSync(`${this.#tracefs}/kprobe_events`, `-:kvfio/${this.#name}\n`);
  }
}

const errorOf = (call: () => void): string | null => {
  try {
    call();
    return null;
  } catch (error) {
    if (error instanceof SyscallError) return error.code;
    throw error;
  }
};

const failure = (what: string, why: string, hint: string): Failure =>
  new Failure({code: 'KERNEL_ANSWER', kind: 'cannotDecide', what, why, hint});

main();
