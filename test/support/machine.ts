import {chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {basename, dirname, join, relative} from 'node:path';
import {configSpace, type ConfigSpec} from './config-space.js';

/** A machine to be written as files. What is left out is as on an ordinary PC with a 6.12 kernel. */
export interface MachineSpec {
  /** Null: the file is missing. */
  release?: string | null;
  architecture?: string | null;
  commandLine?: string;
  /** What /proc/interrupts says; null: the file is missing. */
  interrupts?: string | null;
  /** Flags of the first processor; null where it shows none. */
  cpuFlags?: string | null;
  /** Names of the firmware's ACPI tables; null on a machine without ACPI. */
  tables?: readonly string[] | null;
  /** The kernel's configuration, as in /boot. */
  config?: string;
  units?: Record<string, UnitSpec>;
  /** False: a kernel without IOMMU support. */
  iommuSupport?: boolean;
  groups?: Record<number, readonly DeviceSpec[] | GroupSpec>;
  ungrouped?: readonly DeviceSpec[];
  pciIds?: string | null;
}

export interface GroupSpec {
  type?: string;
  name?: string;
  regions?: string;
  devices: readonly DeviceSpec[];
}

export interface UnitSpec {
  /** Attributes below the unit's folder. */
  files: Record<string, string>;
  /** Driver of the device that the unit belongs to. */
  driver?: string;
}

export interface DeviceSpec {
  bus: string;
  name: string;
  /** Folder under /sys/devices that holds the device's own. */
  parent: string;
  unit: string | null;
  driver: string | null;
  uevent: Record<string, string>;
  files: Record<string, string | Buffer>;
  /** Link texts, relative to the machine's root. */
  links: Record<string, string>;
  /** Names under vfio-dev/. */
  vfio: readonly string[];
}

/** A machine on disk; its files go when it is disposed of. */
export interface Machine extends Disposable {
  /** What to give to --sysroot. */
  root: string;
  path: (inside: string) => string;
  /** Adds a file, or replaces it. */
  write: (inside: string, content: string | Buffer) => void;
  /** Adds a link to a path from the machine's root. */
  link: (inside: string, target: string) => void;
  remove: (inside: string) => void;
}

export const intel = (ecap: string | null): UnitSpec => ({
  files: {
    'intel-iommu/version': '5:0\n',
    'intel-iommu/address': 'fed91000\n',
    'intel-iommu/cap': 'd2008c40660462\n',
    ...(ecap === null ? {} : {'intel-iommu/ecap': `${ecap}\n`}),
  },
});

export const amd = (features = '25bf732fa2295afe:53d\n'): UnitSpec => ({
  files: {'amd-iommu/cap': '40\n', 'amd-iommu/features': features},
});

/** A unit that only its driver or its name tells apart. */
export const plain = (driver?: string): UnitSpec =>
  driver === undefined ? {files: {}} : {files: {}, driver};

export interface PciOptions extends Partial<ConfigSpec> {
  unit?: string | null;
  driver?: string | null;
  /** Folder that holds the device's, such as that of a port; the host bridge when left out. */
  parent?: string;
  numa?: number;
  reset?: string;
  override?: string;
  vfio?: readonly string[];
  /** Raw bytes in place of a configuration space that is built. */
  config?: Buffer;
  /** Path of the physical function. */
  physfn?: string;
}

/** A PCI function with the files that the kernel makes for it. */
export const pci = (address: string, options: PciOptions = {}): DeviceSpec => {
  const {vendor = '8086', device = '10d3', classCode = '020000', subsystem = ['8086', '0000']} = options;
  const isBridge = classCode.startsWith('0604');
  const config = configSpace({
    headerType: isBridge ? 1 : 0,
    ...options,
    vendor,
    device,
    classCode,
    subsystem,
  });
  const upper = (pair: readonly string[]): string => pair.join(':').toUpperCase();
  return {
    bus: 'pci',
    name: address,
    parent: options.parent ?? `pci${address.slice(0, address.lastIndexOf(':'))}`,
    unit: options.unit ?? null,
    driver: options.driver ?? null,
    uevent: {
      PCI_CLASS: classCode.toUpperCase().replace(/^0+(?=.{4})/, ''),
      PCI_ID: upper([vendor, device]),
      PCI_SUBSYS_ID: upper(subsystem),
      PCI_SLOT_NAME: address,
    },
    files: {
      vendor: `0x${vendor}\n`,
      device: `0x${device}\n`,
      class: `0x${classCode}\n`,
      subsystem_vendor: `0x${subsystem[0]}\n`,
      subsystem_device: `0x${subsystem[1]}\n`,
      irq: '11\n',
      resource: NO_RESOURCES,
      numa_node: `${options.numa ?? -1}\n`,
      driver_override: `${options.override ?? '(null)'}\n`,
      config: options.config ?? config,
      ...(options.reset === undefined ? {} : {reset_method: `${options.reset}\n`}),
    },
    links: options.physfn === undefined ? {} : {physfn: `sys/devices/${options.physfn}`},
    vfio: options.vfio ?? [],
  };
};

/** A bridge of PCIe: a root port unless told otherwise. */
export const port = (address: string, options: PciOptions = {}): DeviceSpec =>
  pci(address, {
    device: '1c10',
    classCode: '060400',
    driver: 'pcieport',
    pcie: 4,
    acs: [0x1d, 0x1d],
    noSnoop: false,
    ...options,
  });

/** Folder of a device under /sys/devices, for those that stand behind it. */
export const folderOf = ({parent, name}: DeviceSpec): string => `${parent}/${name}`;

/** A device of any other bus. */
export const other = (
  bus: string,
  name: string,
  options: Partial<
    Pick<DeviceSpec, 'parent' | 'unit' | 'driver' | 'uevent' | 'files' | 'links' | 'vfio'>
  > = {},
): DeviceSpec => ({
  bus,
  name,
  parent: bus,
  unit: null,
  driver: null,
  uevent: {},
  files: {},
  links: {},
  vfio: [],
  ...options,
});

/** Names for the ids that the builders above use, and for some oddities. */
export const PCI_IDS = `#
#	List of PCI ID's
#
10de  NVIDIA Corporation
	1b80  GP104 [GeForce GTX 1080]
		1043 8591  Strix "OC", 8 GB
	10f0  GP104 High Definition Audio Controller
144d  Samsung Electronics Co Ltd
	a808  NVMe SSD Controller SM981/PM981/PM983
8086  Intel Corporation
	10d3  82574L Gigabit Network Connection
	1c10  6 Series PCI Express Root Port 1
	1c20  6 Series, "Cougar Point" Audio
# Classes
C 01  Mass storage controller
	08  Non-Volatile memory controller
		02  NVM Express
C 02  Network controller
	00  Ethernet controller
C 03  Display controller
	00  VGA compatible controller
C 04  Multimedia controller
	03  Audio device
C 06  Bridge
	00  Host bridge
	01  ISA bridge
	04  PCI bridge
C 0c  Serial bus controller
	03  USB controller
		30  XHCI
`;

/** Writes a machine's files into a new folder. */
export const machine = (spec: MachineSpec = {}, under = tmpdir()): Machine => {
  const root = mkdtempSync(join(under, 'kvfio-machine-'));
  // sysfs is open to everybody, too
  chmodSync(root, 0o755);
  const files = new Files(root);
  writeKernel(files, spec);
  if (spec.iommuSupport !== false) {
    files.folder('sys/class/iommu');
    files.folder('sys/kernel/iommu_groups');
  }
  for (const [name, unit] of Object.entries(spec.units ?? {})) writeUnit(files, name, unit);
  files.folder('sys/bus/pci/devices');
  for (const [id, group] of Object.entries(spec.groups ?? {})) {
    writeGroup(files, id, 'devices' in group ? group : {devices: group});
  }
  for (const device of spec.ungrouped ?? []) writeDevice(files, device);
  return {
    root,
    path: (inside) => join(root, inside),
    write: (inside, content) => {
      files.write(inside, content);
    },
    link: (inside, target) => {
      files.link(inside, target);
    },
    remove: (inside) => {
      rmSync(join(root, inside), {recursive: true});
    },
    [Symbol.dispose]: () => {
      rmSync(root, {recursive: true, force: true});
    },
  };
};

const writeKernel = (files: Files, spec: MachineSpec): void => {
  const {release = '6.12.107-1-amd64', architecture = 'x86_64', tables = []} = spec;
  if (release !== null) {
    files.write('proc/sys/kernel/osrelease', `${release}\n`);
    files.write('proc/version', `Linux version ${release} (me@host) (gcc 14) #1 SMP\n`);
  }
  if (architecture !== null) files.write('proc/sys/kernel/arch', `${architecture}\n`);
  files.write('proc/cmdline', `${spec.commandLine ?? 'BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro quiet'}\n`);
  const flags = spec.cpuFlags === null ? '' : `flags\t\t: ${spec.cpuFlags ?? 'fpu vme de'}\n`;
  files.write('proc/cpuinfo', `processor\t: 0\n${flags}\n`);
  const {interrupts = REMAPPED} = spec;
  if (interrupts !== null) files.write('proc/interrupts', interrupts);
  if (spec.config !== undefined) files.write(`boot/config-${release ?? ''}`, spec.config);
  for (const table of tables ?? []) files.write(`sys/firmware/acpi/tables/${table}`, '');
  if (tables !== null) files.folder('sys/firmware/acpi/tables');
  if (spec.pciIds !== null) files.write('usr/share/misc/pci.ids', spec.pciIds ?? PCI_IDS);
};

/** Interrupts of a machine where each device can raise its own alone. */
export const REMAPPED = `            CPU0       CPU1
   0:         22          0  IR-IO-APIC    2-edge      timer
 120:          0          0  DMAR-MSI    0-edge      dmar0
 126:      12345          0  IR-PCI-MSI-0000:00:1f.2    0-edge      ahci
`;

const unitFolder = (name: string): string => `sys/devices/virtual/iommu/${name}`;

const writeUnit = (files: Files, name: string, unit: UnitSpec): void => {
  const folder = unitFolder(name);
  files.folder(`${folder}/devices`);
  for (const [file, text] of Object.entries(unit.files)) files.write(`${folder}/${file}`, text);
  files.link(`sys/class/iommu/${name}`, folder);
  if (unit.driver === undefined) return;
  const parent = `sys/devices/platform/parent-of-${name}`;
  files.link(`${folder}/device`, parent);
  files.link(`${parent}/driver`, `sys/bus/platform/drivers/${unit.driver}`);
};

const writeGroup = (files: Files, id: string, group: GroupSpec): void => {
  const folder = `sys/kernel/iommu_groups/${id}`;
  files.folder(`${folder}/devices`);
  files.write(`${folder}/type`, `${group.type ?? 'DMA-FQ'}\n`);
  if (group.name !== undefined) files.write(`${folder}/name`, `${group.name}\n`);
  files.write(`${folder}/reserved_regions`, group.regions ?? '0x00000000fee00000 0x00000000feefffff msi\n');
  const names = new Map<string, number>();
  for (const device of group.devices) {
    const path = writeDevice(files, device);
    const clashes = names.get(device.name) ?? 0;
    names.set(device.name, clashes + 1);
    // drivers/iommu/iommu.c, iommu_group_alloc_device
    files.link(`${folder}/devices/${device.name}${clashes === 0 ? '' : `.${clashes - 1}`}`, path);
    files.link(`${path}/iommu_group`, folder);
  }
};

const writeDevice = (files: Files, device: DeviceSpec): string => {
  const path = `sys/devices/${folderOf(device)}`;
  const uevent = {...(device.driver === null ? {} : {DRIVER: device.driver}), ...device.uevent};
  files.write(
    `${path}/uevent`,
    Object.entries(uevent)
      .map(([key, value]) => `${key}=${value}\n`)
      .join(''),
  );
  for (const [name, bytes] of Object.entries(device.files)) files.write(`${path}/${name}`, bytes);
  for (const [name, target] of Object.entries(device.links)) files.link(`${path}/${name}`, target);
  files.link(`${path}/subsystem`, `sys/bus/${device.bus}`);
  files.link(`sys/bus/${device.bus}/devices/${device.name}`, path);
  if (device.driver !== null) {
    const driver = `sys/bus/${device.bus}/drivers/${device.driver}`;
    files.folder(driver);
    files.link(`${path}/driver`, driver);
  }
  if (device.unit !== null) files.link(`${path}/iommu`, unitFolder(device.unit));
  for (const name of device.vfio) {
    files.folder(`${path}/vfio-dev/${name}`);
    files.link(`sys/class/vfio-dev/${name}`, `${path}/vfio-dev/${name}`);
  }
  return path;
};

/** Files below one folder; missing parents are made. */
class Files {
  readonly #root: string;
  readonly #made = new Set<string>();

  constructor(root: string) {
    this.#root = root;
  }

  folder(path: string): void {
    if (this.#made.has(path)) return;
    this.#made.add(path);
    mkdirSync(join(this.#root, path), {recursive: true});
  }

  write(path: string, content: string | Buffer): void {
    this.folder(dirname(path));
    writeFileSync(join(this.#root, path), content);
  }

  /** A relative link, as those of sysfs are, to a path from the machine's root. */
  link(path: string, target: string): void {
    this.folder(dirname(path));
    symlinkSync(join(relative(dirname(path), dirname(target)), basename(target)), join(this.#root, path));
  }
}

const NO_RESOURCES = '0x0000000000000000 0x0000000000000000 0x0000000000000000\n'.repeat(13);
