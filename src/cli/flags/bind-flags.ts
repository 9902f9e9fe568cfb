import {execFileSync} from 'node:child_process';
import {Flags} from '@oclif/core';
import {Failure} from '../../failure.js';
import {VFIO_DRIVER} from '../../iommu/device.js';
import {completePciAddress} from '../../pci/address.js';
import {GUARDS, type GuardName} from '../../vfio/bind/bind-document.js';
import type {DriverWish} from '../../vfio/bind/driver-choice.js';
import type {NewOwner} from '../../vfio/bind/plan.js';
import {INT_MAX} from './int-max.js';
import {usageFailure} from '../usage/usage-failure.js';

/** When each guard refuses, as its flag says it. */
const GUARD_FLAGS = {
  'force-mounted':
    'a file system on it is mounted, or one that another host shares through it (9p, virtiofs)',
  'force-swap': 'swap space on it is in use',
  'force-storage':
    'it is a member of LVM, RAID or ZFS, in exclusive use, or open in a program, even as /dev/nvme0 or /dev/sg0',
  'force-network': 'its interface has an address or a default route, or a program uses the device',
  'force-display': 'it is the boot display, or a program has it open',
  'force-console': 'it has a console of the kernel, or is the last display of one',
  'force-platform': 'it carries a TPM, or a watchdog that a program has open',
  'force-sriov': 'it has virtual functions',
  'force-held': 'a VM or another process has its group open',
  'force-foreign': 'kvfio did not give it to VFIO; the kernel then finds a driver for it',
} as const satisfies Record<`force-${GuardName}`, string>;

const forceFlag = (guard: GuardName, verb: 'bind' | 'unbind' = 'bind') =>
  Flags.boolean({description: `${verb} even if ${GUARD_FLAGS[`force-${guard}`]}`, helpGroup: 'FORCE'});

/** The guards of what takes devices from VFIO. */
export const unbindGuardFlags = {
  'force-held': forceFlag('held', 'unbind'),
  'force-foreign': forceFlag('foreign', 'unbind'),
};

export const guardFlags = {
  'force-mounted': forceFlag('mounted'),
  'force-swap': forceFlag('swap'),
  'force-storage': forceFlag('storage'),
  'force-network': forceFlag('network'),
  'force-display': forceFlag('display'),
  'force-console': forceFlag('console'),
  'force-platform': forceFlag('platform'),
  'force-sriov': forceFlag('sriov'),
  'force-held': forceFlag('held'),
};

/** The guards that the user overrules. */
export const forced = (flags: Partial<Record<`force-${GuardName}`, boolean>>): GuardName[] =>
  GUARDS.filter((guard) => flags[`force-${guard}`] === true);

/** Which devices. */
export const memberFlags = {
  group: Flags.integer({
    char: 'g',
    description: 'an IOMMU group with all its devices',
    multiple: true,
    min: 0,
    max: INT_MAX,
    helpValue: 'N',
  }),
  device: Flags.string({
    char: 'd',
    description: 'a PCI device, by its address',
    multiple: true,
    helpValue: 'BDF',
  }),
};

export const patienceFlag = Flags.integer({
  helpGroup: 'SETUP',
  description: 'seconds to wait for another kvfio that works with the devices, and for each write',
  default: 30,
  min: 1,
  max: 86_400,
  helpValue: 'SECONDS',
});

export const driverFlag = Flags.string({
  summary: 'VFIO driver for the devices; auto chooses one',
  description:
    'VFIO driver for the devices: auto takes the one whose aliases (modules.alias, vfio_pci:) name the device, as libvirt does, and says why; without --driver, vfio-pci gets each device that no VFIO driver has',
  helpValue: 'auto|NAME',
});

/** @throws {@link Failure} for a name that no driver of VFIO can have */
export const driverWish = (driver: string | undefined): DriverWish | undefined => {
  if (driver === undefined || driver === 'auto' || VFIO_DRIVER.test(driver)) return driver;
  throw usageFailure(
    `"${driver}" is not a VFIO driver.`,
    'Use --driver auto, or a name such as vfio-pci or mlx5_vfio_pci.',
  );
};

/** @throws {@link Failure} unless something is named, and devices by what can be an address */
export const memberRequest = (flags: {
  group?: number[] | undefined;
  device?: string[] | undefined;
}): {groups: number[]; devices: string[]} => {
  const request = {groups: flags.group ?? [], devices: flags.device ?? []};
  if (request.groups.length + request.devices.length === 0)
    throw usageFailure(
      'No group or device is named.',
      'Use --group or --device; "kvfio groups" shows what there is.',
    );
  for (const text of request.devices) {
    if (completePciAddress(text) === null)
      throw usageFailure(
        `"${text}" is not a PCI address.`,
        'Name the device as lspci does: 0000:01:00.0, or 01:00.0.',
      );
  }
  return request;
};

/** @throws {@link Failure} when there is no such user */
export const nodeUser = (user: string | undefined): NewOwner | null => {
  if (user === undefined) return null;
  if (/^\d{1,10}$/.test(user)) return {uid: Number(user), name: `user ${user}`};
  const uid = uidOf(user);
  if (uid !== null) return {uid, name: user};
  throw new Failure({
    code: 'USER_NOT_FOUND',
    kind: 'notFound',
    what: `There is no user ${user}.`,
    why: 'The user database does not have one of that name.',
    hint: 'Name a user of this machine, or give a number.',
  });
};

/** From wherever the machine has its users (nsswitch.conf). */
const uidOf = (user: string): number | null => {
  try {
    const text = execFileSync('getent', ['--', 'passwd', user], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const uid = text.split(':')[2];
    return uid === undefined || !/^\d+$/.test(uid) ? null : Number(uid);
  } catch {
    return null;
  }
};
