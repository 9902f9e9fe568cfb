import type {Device} from '../../iommu/device.js';
import {VFIO_DRIVER} from '../../iommu/device.js';
import {SyscallError} from '../../linux/errno.js';
import type {HostTree} from '../../host/tree.js';

export const VFIO_PCI = 'vfio-pci';

/** The VFIO driver that the user wants: `auto` is the one that is made for the device, else a name. */
export type DriverWish = 'auto' | (string & {});

export interface DriverChoice {
  driver: string;
  /** The module that has it. */
  module: string;
  /** Why it is that one, as `its alias fits`; null where it was asked for, or nothing was. */
  because: string | null;
  /** Whether a driver that was asked for by name is known not to be made for the device. */
  fits: boolean;
}

/** One `alias vfio_pci:… MODULE`, by which a driver says for which devices it has more than vfio-pci has. */
interface VfioAlias {
  pattern: string;
  module: string;
}

/**
 * Chooses drivers as libvirt does: among the aliases `vfio_pci:` of the kernel's modules that fit a device, the one that leaves least
 * open (include/linux/pci.h, PCI_DRIVER_OVERRIDE_DEVICE_VFIO; scripts/mod/file2alias.c, do_pci_entry()). vfio-pci has one that fits
 * everything. An override that names another driver of VFIO is the user's wish, unless the kernel itself has set it, as on the
 * virtual functions of what VFIO has (vfio_pci_bus_notifier()).
 */
export class DriverChooser {
  readonly #tree: HostTree;
  readonly #release: string | null;
  #aliases: readonly VfioAlias[] | null | undefined;

  constructor(tree: HostTree, release: string | null) {
    this.#tree = tree;
    this.#release = release;
  }

  choose(device: Device, wish: DriverWish): DriverChoice {
    if (wish === VFIO_PCI) return PLAIN;
    return wish === 'auto' ? this.#best(device) : this.#named(device, wish);
  }

  /** All aliases that a module of this kernel has, built in or not; null where the kernel's modules cannot be read. */
  get aliases(): readonly VfioAlias[] | null {
    this.#aliases ??= this.#release === null ? null : readAliases(this.#tree, this.#release);
    return this.#aliases;
  }

  #best(device: Device): DriverChoice {
    const override = this.#overrideOfUser(device);
    if (override !== null) return {...this.#of(override), because: 'its override names it', fits: true};
    if (this.aliases === null)
      return {
        ...PLAIN,
        because: `kvfio cannot read which drivers are made for which devices (${placesOf(this.#release ?? '')[0] ?? ''})`,
      };
    const [best] = this.#fitting(device);
    return best === undefined || moduleOf(VFIO_PCI) === best.module
      ? {...PLAIN, because: 'no other driver of VFIO is made for it'}
      : {...this.#of(best.module), because: `${best.module} has the alias ${best.pattern}`, fits: true};
  }

  #named(device: Device, name: string): DriverChoice {
    const choice = this.#of(name);
    const fits = this.aliases === null || this.#fitting(device).some(({module}) => module === choice.module);
    return {...choice, because: null, fits};
  }

  #fitting(device: Device): VfioAlias[] {
    const alias = aliasOf(device);
    return (this.aliases ?? [])
      .filter(({pattern}) => matches(pattern, alias))
      .sort((a, b) => openness(a.pattern) - openness(b.pattern));
  }

  #overrideOfUser({path}: Device): string | null {
    const text = this.#tree.text(`${path}/driver_override`);
    const override = text instanceof SyscallError ? '' : text.trim();
    if (override === VFIO_PCI || !VFIO_DRIVER.test(override)) return null;
    const driver = this.#tree.link(`${path}/physfn/driver`);
    const isKernels =
      typeof driver === 'string' && VFIO_DRIVER.test(driver.slice(driver.lastIndexOf('/') + 1));
    return isKernels ? null : override;
  }

  /** A driver by its name or that of its module, which differ in dashes. */
  #of(name: string): Pick<DriverChoice, 'driver' | 'module'> {
    const module = moduleOf(name);
    const names = this.#tree.list(`/sys/module/${module}/drivers`);
    const loaded = names instanceof SyscallError ? undefined : names.find((each) => each.startsWith('pci:'));
    return {driver: loaded?.slice('pci:'.length) ?? DRIVERS_WITH_DASHES.get(module) ?? module, module};
  }
}

const moduleOf = (driver: string): string => driver.replaceAll('-', '_');

const PLAIN: DriverChoice = {driver: VFIO_PCI, module: VFIO_PCI, because: null, fits: true};

/** The others are called what their modules are called (KBUILD_MODNAME). */
const DRIVERS_WITH_DASHES: ReadonlyMap<string, string> = new Map([
  ['vfio_pci', VFIO_PCI],
  ['xe_vfio_pci', 'xe-vfio-pci'],
]);

const readAliases = (tree: HostTree, release: string): VfioAlias[] | null => {
  for (const folder of placesOf(release)) {
    const loadable = tree.text(`${folder}/modules.alias`, LIMIT);
    if (loadable instanceof SyscallError) continue;
    const builtIn = tree.text(`${folder}/modules.builtin.modinfo`, LIMIT);
    return [...aliasesIn(loadable), ...(builtIn instanceof SyscallError ? [] : builtInAliases(builtIn))];
  }
  return null;
};

/** The release of the machine itself is not a path. */
const placesOf = (release: string): string[] =>
  release.includes('/') ? [] : [`/lib/modules/${release}`, `/usr/lib/modules/${release}`];

const LIMIT = 64 * 1024 * 1024;

/** Aliases in a text of lines `alias PATTERN MODULE`. */
const aliasesIn = (text: string): VfioAlias[] =>
  [...text.matchAll(/^alias (vfio_pci:\S+) (\S+)$/gm)].map(([, pattern = '', module = '']) => ({
    pattern,
    module: moduleOf(module),
  }));

/** Aliases in a text of entries `MODULE.alias=PATTERN`, each with a NUL after it. */
const builtInAliases = (text: string): VfioAlias[] =>
  text.split('\0').flatMap((entry) => {
    const [, module = '', pattern = ''] = /^([\w-]+)\.alias=(vfio_pci:\S+)$/.exec(entry) ?? [];
    return pattern === '' ? [] : [{pattern, module: moduleOf(module)}];
  });

/** What {@link readAliases} needs of captured files; null for another file. */
export const cutAliases = (path: string, text: string): string | null =>
  path.endsWith('/modules.alias')
    ? aliasesIn(text)
        .map(({pattern, module}) => `alias ${pattern} ${module}\n`)
        .join('')
    : path.endsWith('/modules.builtin.modinfo')
      ? builtInAliases(text)
          .map(({pattern, module}) => `${module}.alias=${pattern}\0`)
          .join('')
      : null;

/** The alias of a device, as drivers/pci/pci-sysfs.c, modalias_show() has it, under the name of VFIO. */
const aliasOf = ({vendorId, deviceId, subsystemVendorId, subsystemDeviceId, classCode}: Device): string => {
  const wide = (id: string | null): string => (id ?? '0').toUpperCase().padStart(8, '0');
  const [base, sub, iface] = [0, 2, 4].map((at) => (classCode ?? '000000').slice(at, at + 2).toUpperCase());
  return `vfio_pci:v${wide(vendorId)}d${wide(deviceId)}sv${wide(subsystemVendorId)}sd${wide(subsystemDeviceId)}bc${base ?? ''}sc${sub ?? ''}i${iface ?? ''}`;
};

const matches = (pattern: string, alias: string): boolean =>
  new RegExp(
    `^${pattern
      .split('*')
      .map((part) => part.replaceAll(/[^\w:]/g, '\\$&'))
      .join('.*')}$`,
  ).test(alias);

const openness = (pattern: string): number => pattern.split('*').length - 1;
