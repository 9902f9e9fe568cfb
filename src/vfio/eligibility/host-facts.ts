import type {Attributes, Warning} from '../../host/attributes.js';
import {VFIO_DRIVER} from '../../iommu/device.js';
import type {Kernel} from '../../iommu/kernel.js';
import {parsePciAddress} from '../../pci/address.js';
import {isSilent, readNoSnoop} from '../../pci/config.js';
import {SyscallError} from '../../linux/errno.js';
import {readFramebuffers, type Framebuffer} from './framebuffers.js';
import {readInterrupts, type InterruptIsolation} from './interrupts.js';

/** How the driver vfio-pci is there. */
export interface Loaded {
  /** Whether it is part of the kernel: its folder lacks what kernel/module/sysfs.c adds for a module that was loaded. */
  isBuiltIn: boolean;
  /** Whether somebody has a device of it open, so that modprobe does not unload it. */
  isInUse: boolean;
  /** What it has, and loses when it is unloaded. */
  devices: string[];
}

const readVfioPci = (attributes: Attributes): Loaded => {
  const files = attributes.names('/sys/module/vfio_pci');
  const references = Number(attributes.text('/sys/module/vfio_pci/refcnt') ?? 0);
  return {
    isBuiltIn: files !== null && !files.includes('refcnt') && !files.includes('initstate'),
    isInUse: references > 0,
    devices: (attributes.names('/sys/bus/pci/drivers/vfio-pci') ?? []).filter(
      (name) => parsePciAddress(name) !== null,
    ),
  };
};

/** Whether a word of the command line sets a parameter; dashes and underscores are the same there. */
const isOf = (module: string, name: string, word: string): boolean =>
  /^[^=]*/.exec(word)?.[0].replaceAll('-', '_') === `${module}.${name}`;

/** As kstrtobool() takes it (lib/kstrtox.c); without a value it is on. */
const ON = /^[^=]*(?:=(?:[yYtT1]|on\b).*)?$/;

/** What the checks ask of a machine. */
export type AskedFacts = Pick<HostFacts, keyof HostFacts>;

/** What is true of a whole machine, each read once, when a check first asks for it. */
export class HostFacts {
  readonly #attributes: Attributes;
  readonly #kernel: Kernel;
  #interrupts: InterruptIsolation | undefined;
  #framebuffers: readonly Framebuffer[] | undefined;
  #vfioPci: Loaded | undefined;
  readonly #parameters = new Map<string, string | null>();

  constructor(attributes: Attributes, kernel: Kernel) {
    this.#attributes = attributes;
    this.#kernel = kernel;
  }

  /** What went wrong while that was read. */
  get warnings(): Warning[] {
    return this.#attributes.warnings;
  }

  /** Whether a device can raise the interrupts of others. */
  get interrupts(): InterruptIsolation {
    return (this.#interrupts ??= readInterrupts(this.#attributes, this.#kernel));
  }

  /** What the firmware's framebuffer takes of devices' memory. */
  get framebuffers(): readonly Framebuffer[] {
    return (this.#framebuffers ??= readFramebuffers(this.#attributes));
  }

  /**
   * Value of a module's parameter; null when the module is not loaded, or does not show it. Of one that is not loaded it is `Y` if the
   * kernel's command line switches the parameter on, from which modprobe takes it.
   */
  parameter(module: string, name: string): string | null {
    const path = `/sys/module/${module}/parameters/${name}`;
    if (!this.#parameters.has(path)) {
      const isOn = (this.#kernel.parameters ?? []).findLast((word) => isOf(module, name, word))?.match(ON);
      this.#parameters.set(path, this.#attributes.text(path) ?? (isOn ? 'Y' : null));
    }
    return this.#parameters.get(path) ?? null;
  }

  /** Runs `look`, which asks for files of many devices, one device after the other. */
  near<T>(look: () => T): T {
    return this.#attributes.tree.near(look);
  }

  /** What keeps vfio-pci from being loaded anew. */
  get vfioPci(): Loaded {
    return (this.#vfioPci ??= readVfioPci(this.#attributes));
  }

  /** A file of a device; null when it has none. */
  of(path: string, file: string): string | null {
    return this.#attributes.text(`${path}/${file}`);
  }

  /** Whether a PCI function answers with all ones. */
  isSilent(path: string): boolean {
    const noSnoop = this.#attributes.tree.inspect(`${path}/config`, readNoSnoop);
    return !(noSnoop instanceof SyscallError) && isSilent(noSnoop) && this.physicalFunction(path) === null;
  }

  /** Whether VFIO has a device, by its folder. */
  isVfios(path: string): boolean {
    const driver = this.#attributes.linkName(`${path}/driver`);
    return (
      (driver !== null && VFIO_DRIVER.test(driver)) || this.#attributes.names(`${path}/vfio-dev`) !== null
    );
  }

  /** Folder of the physical function of a virtual one; null of any other device. */
  physicalFunction(path: string): string | null {
    return this.#attributes.resolve(path, 'physfn', 'optional');
  }
}
