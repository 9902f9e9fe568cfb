import type {HostTree} from '../../host/tree.js';
import {Attributes} from '../../host/attributes.js';
import {compareAddresses, parsePciAddress} from '../address.js';
import {readSerials} from '../serial.js';

/** A PCI function, as selectors see it. */
export interface PciFunction {
  address: string;
  /** Its folder under /sys/devices. */
  path: string;
}

/** What one name leads to. */
export interface NamedFunction {
  /** As the kernel calls it: `eth0`, `nvme0n1`. */
  name: string;
  address: string;
}

/** A disk, or a part of one: a partition, or a boot area of eMMC. */
export interface NamedDisk extends NamedFunction {
  /** The disk that it is of; its own name when it is one. */
  disk: string;
}

const DEVICES = '/sys/bus/pci/devices';
const GROUPS = '/sys/kernel/iommu_groups';
const NETWORK = '/sys/class/net';
const BLOCK = '/sys/class/block';
const NVME = '/sys/class/nvme';

/** What selectors ask of a machine, each read when it is first asked for. */
export class PciFunctions {
  readonly tree: HostTree;
  readonly #attributes: Attributes;
  #all: readonly PciFunction[] | undefined;

  constructor(tree: HostTree) {
    this.tree = tree;
    this.#attributes = new Attributes(tree);
  }

  /** By address. */
  get all(): readonly PciFunction[] {
    return (this.#all ??= this.#readAll());
  }

  /** `8086:10d3`; null when it does not show. */
  idsOf({path}: PciFunction): string | null {
    const uevent = this.#attributes.text(`${path}/uevent`) ?? '';
    return /^PCI_ID=([0-9A-F]{4}:[0-9A-F]{4})$/m.exec(uevent)?.[1]?.toLowerCase() ?? null;
  }

  /** Network interfaces that belong to PCI functions. */
  get interfaces(): NamedFunction[] {
    return this.#named(NETWORK);
  }

  /** Disks, partitions and NVMe controllers that are on PCI functions; one with several ways to it is there once for each. */
  get blockDevices(): NamedFunction[] {
    return [...this.disks, ...this.#named(NVME)];
  }

  /** Disks and their partitions. What the kernel hides are ways to a disk (block/genhd.c, disk_hidden_show()). */
  get disks(): NamedDisk[] {
    const names = new Set(this.#attributes.names(BLOCK));
    return [...this.#named(BLOCK), ...this.#throughSubsystem()]
      .filter(({path}) => this.#attributes.text(`${path}/hidden`) !== '1')
      .map(({name, address, path}) => ({
        name,
        address,
        disk: path.split('/').find((part) => names.has(part)) ?? name,
      }));
  }

  /** Hardware address of an interface; empty when it shows none. */
  addressOf(name: string): string {
    return this.#attributes.text(`${NETWORK}/${name}/address`) ?? '';
  }

  serialsOf({path}: PciFunction): string[] {
    return readSerials(this.tree, path);
  }

  /** Where a link below /dev leads; the same path when it is none. */
  nodeOf(path: string): string {
    const target = this.#attributes.link(path);
    if (target === null) return path;
    const folder = path.slice(0, path.lastIndexOf('/'));
    return target.startsWith('/') ? target : joined(folder, target);
  }

  #readAll(): PciFunction[] {
    const names = this.#attributes.names(DEVICES) ?? [];
    const found = new Map(names.map((name) => [name, this.#attributes.resolve(DEVICES, name, 'optional')]));
    // a snapshot has the links of the groups in their place
    if ([...found.values()].includes(null))
      for (const group of this.#attributes.names(GROUPS) ?? [])
        for (const name of this.#attributes.names(`${GROUPS}/${group}/devices`) ?? []) {
          const path = this.#attributes.resolve(`${GROUPS}/${group}/devices`, name, 'optional');
          const address = path?.slice(path.lastIndexOf('/') + 1) ?? '';
          if (path !== null && found.has(address)) found.set(address, path);
        }
    return [...found]
      .flatMap(([address, path]) => (path === null ? [] : [{address, path}]))
      .sort((a, b) => compareAddresses(a.address, b.address));
  }

  #named(folder: string): (NamedFunction & {path: string})[] {
    return (this.#attributes.names(folder) ?? []).flatMap((name) => {
      const path = this.#attributes.resolve(folder, name, 'optional');
      const address = path === null ? null : functionAbove(path);
      return path === null || address === null ? [] : [{name, address, path}];
    });
  }

  /** The disk of a namespace that several controllers lead to lies below none of them (drivers/nvme/host/multipath.c). */
  #throughSubsystem(): (NamedFunction & {path: string})[] {
    return (this.#attributes.names(BLOCK) ?? []).flatMap((name) => {
      const path = this.#attributes.resolve(BLOCK, name, 'optional') ?? '';
      const [, subsystem] = /^(\/sys\/devices\/virtual\/nvme-subsystem\/[^/]+)\//.exec(path) ?? [];
      if (subsystem === undefined) return [];
      return (this.#attributes.names(subsystem) ?? [])
        .filter((each) => /^nvme\d+$/.test(each))
        .flatMap((each) => {
          const address = functionAbove(this.#attributes.resolve(subsystem, each, 'optional') ?? '');
          return address === null ? [] : [{name, address, path}];
        });
    });
  }
}

/** The function that a folder belongs to. What is on USB is only plugged into one, which has more than that. */
const functionAbove = (path: string): string | null => {
  const parts = path.split('/');
  const at = parts.findLastIndex((part) => parsePciAddress(part) !== null);
  return at === -1 || parts.slice(at + 1).some((part) => /^usb\d+$/.test(part)) ? null : (parts[at] ?? null);
};

const joined = (folder: string, target: string): string => {
  const parts = folder.split('/');
  for (const part of target.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
};

/** The addresses from the root bus to a function: `0000:00:1c.0`, `0000:01:00.0`. That of a VMD has a root bus of its own. */
export const chainOf = ({path}: PciFunction): string[] => {
  const parts = path.split('/');
  const root = parts.findLastIndex((part) => /^pci[0-9a-f]{4,8}:[0-9a-f]{2}$/.test(part));
  return parts.slice(root + 1).filter((part) => parsePciAddress(part) !== null);
};

/** The same as "lspci -P" prints it: `00:1c.0/00.0`, with a domain where that is not 0000. */
export const pathText = (pciFunction: PciFunction): string =>
  chainOf(pciFunction)
    .map((address, at) => (at === 0 ? address.replace(/^0000:/, '') : slotOf(address)))
    .join('/');

/** `00.0` of `0000:01:00.0`. */
export const slotOf = (address: string): string => address.slice(address.lastIndexOf(':') + 1);
