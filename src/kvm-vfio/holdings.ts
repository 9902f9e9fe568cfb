import {compareAddresses} from '../pci/address.js';
import {SyscallError} from '../linux/errno.js';
import {sameFile} from '../linux/proc/kcmp.js';
import {KVM_VFIO, KVM_VM} from '../kvm/links.js';
import {Process} from '../linux/proc/process.js';
import {readCoherencyRecord, type CoherencyRecord} from './coherency-record.js';
import {fileName, sameId, type FileNode} from '../vfio/file-node.js';
import {deviceNumber} from '../vfio/group-node.js';
import {deviceOf} from '../vfio/holders.js';
import {openedByKvfio} from '../vfio/kvfio-mark.js';
import type {ReachedVm} from '../owner/reach-owner.js';

/** A group or a device that the owner of a VM has open. A device that is open twice is two files to KVM. */
export interface Holding {
  /** `group 12` or `cdev 0000:01:00.0`, with the descriptor where that is open twice. */
  name: string;
  node: FileNode;
  /** Number of its descriptor in the owner. */
  fd: number;
  /** kvfio opened it and handed it over; null when that cannot be seen. */
  given: boolean | null;
  /** Whether it is registered with the VM's device; null when that is not known. */
  registered: boolean | null;
  /** Its last device has left VFIO since it was opened, and with it the node. KVM keeps the file all the same. */
  gone: boolean;
  /** What kvfio recorded when it last had KVM look; null when it did not, or cannot see it. */
  record: CoherencyRecord | null;
}

/** What the owner of a VM has open, as far as it is about VFIO. */
export interface Holdings {
  /** Numbers of its kvm-vfio devices. */
  devices: number[];
  /** kvfio cannot determine which device belongs to this VM. */
  several: boolean;
  files: Holding[];
}

/** What /proc shows, and what the agent says. One of the two may not be there. */
export const readHoldings = (vm: ReachedVm, nodes: readonly FileNode[]): Holdings => {
  const told = vm.agent?.held() ?? [];
  const owner = new Process(vm.pid);
  const links = visible(owner);
  const seen = distinctOf(links, KVM_VFIO, vm.pid);
  const agents = told.flatMap(({kind, fd}) => (kind === 'given' ? [] : [fd]));
  // an agent has devices of its own VM only
  const devices = agents.length > 0 ? agents : seen;
  const vms = agents.length > 0 ? 1 : distinctOf(links, KVM_VM, vm.pid).length;

  const files = new Map<number, Nameless>();
  const nodeOf = (device: number): FileNode | undefined => nodes.find((node) => node.device === device);
  for (const [fd, link] of links) {
    if (!link.startsWith('/')) continue;
    const there = nodeOf(deviceOf(owner, fd));
    const node = there ?? formerNode(link);
    if (node === undefined) continue;
    const given = openedByKvfio(vm.pid, fd);
    const record = readCoherencyRecord(vm.pid, fd);
    files.set(fd, {node, fd, given, registered: null, gone: there === undefined, record});
  }
  for (const {fd, kind, registered, major, minor} of told) {
    const node = kind === 'given' ? nodeOf(deviceNumber(major, minor)) : undefined;
    const seen = files.get(fd);
    if (seen === undefined && node === undefined) continue;
    const file = seen ?? {node: node as FileNode, fd, gone: false, record: null};
    files.set(fd, {...file, given: true, registered: registered || null});
  }
  return {
    devices,
    several: devices.length > 1 || (devices.length === 1 && vms > 1),
    files: named(distinctFiles([...files.values()], vm.pid)),
  };
};

type Nameless = Omit<Holding, 'name'>;

/** What a descriptor was open on whose node is gone, by the link in /proc/PID/fd, which says so. */
const formerNode = (link: string): FileNode | undefined => {
  const [, path = '', group] = /^(\/dev\/vfio\/(?:noiommu-)?(\d{1,10})) \(deleted\)$/.exec(link) ?? [];
  return group === undefined ? undefined : {kind: 'group', group: Number(group), path, device: 0};
};

/** One descriptor of each open file. A group can be open only once, so further descriptors of it are of the same one. */
const distinctFiles = (files: readonly Nameless[], pid: number): Nameless[] =>
  files.filter(
    ({node, fd}, index) =>
      !files
        .slice(0, index)
        .some(
          (other) =>
            sameId(other.node, node) &&
            ((node.kind === 'group' && other.node === node) || isSame(pid, fd, other.fd)),
        ),
  );

const named = (files: readonly Nameless[]): Holding[] =>
  files
    .map((file) => {
      const name = fileName(file.node);
      const twice = files.some((other) => other !== file && sameId(other.node, file.node));
      return {...file, name: twice ? `${name} (descriptor ${file.fd})` : name};
    })
    .sort((a, b) => compareNodes(a.node, b.node) || a.fd - b.fd);

/** Groups by number, then devices by address. */
const compareNodes = (a: FileNode, b: FileNode): number => {
  if (a.kind === 'group') return b.kind === 'group' ? a.group - b.group : -1;
  return b.kind === 'group' ? 1 : compareAddresses(a.address, b.address);
};

const visible = (owner: Process): Map<number, string> => {
  try {
    return owner.descriptors();
  } catch (error) {
    if (error instanceof SyscallError) return new Map();
    throw error;
  }
};

/** One descriptor of each open file with this link. */
const distinctOf = (links: ReadonlyMap<number, string>, wanted: string, pid: number): number[] => {
  const fds = [...links].filter(([, link]) => link === wanted).map(([fd]) => fd);
  return fds.filter((fd, index) => !fds.slice(0, index).some((other) => isSame(pid, fd, other)));
};

const isSame = (pid: number, fd: number, other: number): boolean => {
  try {
    return sameFile(pid, fd, pid, other);
  } catch (error) {
    if (error instanceof SyscallError) return false;
    throw error;
  }
};
