import type {Attributes} from '../../host/attributes.js';
import type {Kernel} from '../../iommu/kernel.js';

/** Whether interrupts of devices are remapped, so that a device can raise only those that it was given. */
export interface InterruptIsolation {
  /** Null when kvfio cannot determine it. */
  isolated: boolean | null;
  /** What shows it, without a full stop. */
  seen: string;
  /** The word of the command line that switches remapping off; null when there is none. */
  off: string | null;
}

export const INTERRUPTS = '/proc/interrupts';

/**
 * Whether interrupts are remapped, by the names of interrupt chips, which show it on every architecture with MSIs: `IR-PCI-MSI`,
 * `IR-IO-APIC` behind VT-d or AMD-Vi (irq_domain prefix in drivers/iommu/intel/irq_remapping.c and amd/iommu.c), `ITS-PCI-MSI`
 * behind a GIC with an ITS. All interrupts of an x86 machine are remapped, or none is, so the first one decides.
 */
export const readInterrupts = (attributes: Attributes, {parameters}: Kernel): InterruptIsolation => {
  const off = switchedOff(parameters ?? []);
  const chip = attributes.tree.inspect(INTERRUPTS, firstChip);
  if (typeof chip === 'string')
    return {isolated: /^(?:IR-|ITS-)/.test(chip), seen: `${INTERRUPTS} has ${chip}`, off};
  if (off !== null) return {isolated: false, seen: `the kernel command line says ${off}`, off};
  return {
    isolated: null,
    seen:
      chip === null
        ? `${INTERRUPTS} names no interrupt chip that kvfio knows`
        : `${INTERRUPTS} cannot be read (${chip.code})`,
    off,
  };
};

/** The word that has it off. The last switch counts (setup_irqremap() and setup_nointremap() in drivers/iommu/irq_remapping.c). */
const switchedOff = (parameters: readonly string[]): string | null => {
  const last = parameters.findLast((word) => SWITCH.test(word));
  const value = last?.split(/[=,]/).findLast((each) => /^(?:on|off|nointremap)/.test(each));
  return last === undefined || value?.startsWith('on') === true ? null : last;
};

const SWITCH = /^(?:nointremap$|intremap=(?:.*,)?(?:on|off))/;

/** Read in parts: a line has a column for each of up to 8,192 processors. */
const firstChip = (at: (offset: number, length: number) => Buffer): string | null => {
  let rest = '';
  for (let offset = 0; offset < LIMIT;) {
    const part = at(offset, PART).toString('latin1');
    if (part === '') return CHIP.exec(rest)?.[0] ?? null;
    offset += part.length;
    const text = rest + part;
    const end = text.lastIndexOf('\n') + 1;
    const found = CHIP.exec(text.slice(0, end));
    if (found !== null) return found[0];
    rest = text.slice(end);
  }
  return null;
};

const CHIP =
  /(?<=\s)(?:IR-(?:IO-APIC|PCI-MSIX?|HPET-MSI)|ITS-(?:PCI-)?MSIX?|IO-APIC|PCI-MSIX?|GICv2m-(?:PCI-)?MSIX?)\b/;

const PART = 64 * 1024;
const LIMIT = 64 * 1024 * 1024;

/** What {@link readInterrupts} needs of a captured file: the line that decides. */
export const cutInterrupts = (parts: Record<string, string>): Record<string, string> => {
  const text = Buffer.from(Object.values(parts).join(''), 'hex').toString('latin1');
  const chip = CHIP.exec(text)?.[0];
  return chip === undefined ? {0: ''} : {0: Buffer.from(` 0: ${chip}\n`, 'latin1').toString('hex')};
};

/** The parameter by which VFIO's type 1 and IOMMUFD do without isolated interrupts. */
export const UNSAFE = 'allow_unsafe_interrupts';

/**
 * The command that has a module do without isolated interrupts, which is loaded with it where it is not there yet.
 *
 * @param value of the parameter now; null while the module is not loaded
 */
export const howToAllowUnsafe = (module: 'vfio_iommu_type1' | 'iommufd', value: string | null): string =>
  value === null
    ? `"modprobe ${module} ${UNSAFE}=1"`
    : `"echo Y > /sys/module/${module}/parameters/${UNSAFE}"`;
