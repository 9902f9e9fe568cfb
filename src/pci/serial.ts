import {readSerialNumber} from './config.js';
import {SyscallError} from '../linux/errno.js';
import type {HostTree} from '../host/tree.js';

/** What distinguishes a device from others of its model. */
export interface Serial {
  /** Device Serial Number of PCIe, permanent address of its network interfaces, or serial number of an NVMe controller. */
  kind: 'dsn' | 'mac' | 'nvme';
  value: string;
}

/**
 * The serial of a PCI function by its folder. A snapshot has none, for it keeps no serial numbers; without root the Device Serial
 * Number does not show.
 */
export const readSerial = (tree: HostTree, path: string): Serial | null => {
  for (const [kind, read] of READERS) {
    const values = read(tree, path);
    if (values.length > 0) return {kind, value: values.join(' ')};
  }
  return null;
};

/** All serials of a PCI function, the address of each interface by itself. */
export const readSerials = (tree: HostTree, path: string): string[] =>
  READERS.flatMap(([, read]) => read(tree, path));

/** Whether serials show two devices to be different: serials of different kinds do not. */
export const areOthers = (a: Serial | null, b: Serial | null): boolean =>
  a !== null && b !== null && a.kind === b.kind && a.value !== b.value;

const numberOf = (tree: HostTree, path: string): string[] => {
  const number = tree.inspect(`${path}/config`, readSerialNumber);
  return number === null || number instanceof SyscallError ? [] : [number];
};

/** Addresses that are not the hardware's own are left out (NET_ADDR_PERM is 0, include/uapi/linux/netdevice.h). */
const addressesOf = (tree: HostTree, path: string): string[] => {
  const folders = [path, ...names(tree, path, /^virtio\d+$/).map((name) => `${path}/${name}`)];
  return folders
    .flatMap((folder) =>
      names(tree, `${folder}/net`, /./).flatMap((name) => {
        const address = text(tree, `${folder}/net/${name}/address`);
        const isOwn = text(tree, `${folder}/net/${name}/addr_assign_type`) === '0';
        return address === null || !isOwn || /^[0:]*$/.test(address) ? [] : [address];
      }),
    )
    .sort();
};

const controllerOf = (tree: HostTree, path: string): string[] =>
  names(tree, `${path}/nvme`, /^nvme\d+$/).flatMap((name) => {
    const serial = text(tree, `${path}/nvme/${name}/serial`);
    return serial === null || serial === '' ? [] : [serial];
  });

const READERS: readonly [Serial['kind'], (tree: HostTree, path: string) => string[]][] = [
  ['dsn', numberOf],
  ['mac', addressesOf],
  ['nvme', controllerOf],
];

const names = (tree: HostTree, path: string, pattern: RegExp): string[] => {
  const list = tree.list(path);
  return list instanceof SyscallError ? [] : list.filter((name) => pattern.test(name)).sort();
};

const text = (tree: HostTree, path: string): string | null => {
  const answer = tree.text(path);
  return answer instanceof SyscallError ? null : answer.trim();
};
