import type {Device} from '../../iommu/device.js';
import type {Group} from '../../iommu/group.js';
import {listed} from '../../words.js';
import type {Unit} from '../../iommu/unit.js';
import {isAtLeast, type KernelVersion} from '../../host/kernel-release.js';
import type {AskedFacts} from './host-facts.js';

/** What the kernel, or a VMM, looks at before a VM has a device. */
export type CheckId =
  | 'vgpu'
  | 'answers'
  | 'denylist'
  | 'header-type'
  | 'virtual-functions'
  | 'group'
  | 'cache-coherency'
  | 'physical-function'
  | 'driver-domain'
  | 'bound'
  | 'noiommu'
  | 'drivers'
  | 'direct-region'
  | 'interrupts'
  | 'vf-token'
  | 'runtime-pm'
  | 'framebuffer'
  | 'tsm';

/** A machine as the checks see it. */
export interface Examined {
  units: ReadonlyMap<string, Unit>;
  /** Version of the kernel's code; null: the newest kernel is assumed. */
  version: KernelVersion | null;
  /** Whether its code may be that of any newer version, as in a vendor's kernel. */
  mayBeNewer: boolean;
  facts: AskedFacts;
  /** How a VMM is to use the device: by its group, which is the default, or by its cdev through an IOMMUFD. */
  by?: 'group' | 'cdev';
}

/** Something that stands in the way of one device, or of a whole group. */
export interface Found {
  /** The member that it is about; null when it is about the group. */
  device: string | null;
  /** False if kvfio cannot determine whether it stands in the way. */
  certain: boolean;
  /** The fact, as a sentence without its full stop: {@link factOf} fills in the members that it is true of. */
  found: string;
  /** What would remove it, as an imperative without its full stop; null when nothing does. */
  cure: string | null;
  /** Whether `kvfio bind` removes it. */
  cureIsBind?: boolean;
}

/** The sentence of a fact: `{}` stands for its members, and `{is|are}` for the word that fits one of them or several. */
export const factOf = (found: string, members: readonly string[]): string =>
  found
    .replaceAll(/\{([^{}|]*)\|([^{}|]*)\}/g, (_, one: string, several: string) =>
      members.length > 1 ? several : one,
    )
    .replaceAll('{}', listed(members));

/** One check, in one range of kernel versions. */
export interface KernelCheck {
  id: CheckId;
  /** First kernel, and the first one that does otherwise: `[5, 19]`. */
  since?: readonly [major: number, minor: number];
  before?: readonly [major: number, minor: number];
  /** The call that fails, in the kernel's spelling. */
  call: Call;
  /** What it is answered; null when the kernel refuses nothing, and the VM does not work all the same. */
  errno: string | null;
  /** Where the kernel looks: the function, and its file unless that differs from version to version. */
  source: string;
  /** The same where a device is used by its cdev (Linux 6.6 and newer); what is left out is as for a group. */
  byCdev?: Partial<Pick<KernelCheck, 'call' | 'errno' | 'source'>>;
}

/** `probe`: what the driver answers when a device is bound to it. */
export type Call =
  | 'probe'
  | 'open'
  | 'VFIO_GROUP_SET_CONTAINER'
  | 'VFIO_SET_IOMMU'
  | 'VFIO_GROUP_GET_DEVICE_FD'
  | 'VFIO_DEVICE_BIND_IOMMUFD'
  | 'mmap'
  | 'use';

/** A check of each device by itself. */
export interface DeviceCheck extends KernelCheck {
  subject: 'device';
  /** Null when nothing stands in the way. */
  look: (device: Device, group: Group | null, host: Examined) => Found | null;
}

/** A check of a group as a whole. */
export interface GroupCheck extends KernelCheck {
  subject: 'group';
  look: (group: Group, host: Examined) => Found[];
}

/** What one range of kernel versions answers. */
type Answer = Pick<KernelCheck, 'since' | 'before' | 'call' | 'errno' | 'source' | 'byCdev'>;

/** The rows of a check that looks at the same thing in all versions, where the call, its answer or the place differs. */
export const byVersion = <Row extends Omit<DeviceCheck, keyof Answer> | Omit<GroupCheck, keyof Answer>>(
  row: Row,
  answers: readonly Answer[],
): (Row & Answer)[] => answers.map((answer) => ({...row, ...answer}));

/** Whether a row of the table is about this kernel. */
export const applies = (
  {since, before}: Pick<KernelCheck, 'since' | 'before'>,
  {version}: Pick<Examined, 'version'>,
): boolean =>
  version === null
    ? before === undefined
    : (since === undefined || isAtLeast(version, ...since)) &&
      (before === undefined || !isAtLeast(version, ...before));

/** The machine with the code of each version that its kernel may have, as far as rows differ: one, unless that may be newer. */
export const possible = (host: Examined): Examined[] =>
  host.mayBeNewer && host.version !== null
    ? [host.version, ...CHANGES.filter((change) => !isAtLeastVersion(host.version, change)), null].map(
        (version) => ({...host, version, mayBeNewer: false}),
      )
    : [host];

const isAtLeastVersion = (version: KernelVersion | null, {major, minor}: KernelVersion): boolean =>
  version === null || isAtLeast(version, major, minor);

/** Versions from which on rows of the table answer otherwise. */
const CHANGES: readonly KernelVersion[] = [
  [5, 7],
  [5, 9],
  [5, 19],
  [6, 0],
  [6, 2],
  [6, 6],
].map(([major = 0, minor = 0]) => ({major, minor}));
