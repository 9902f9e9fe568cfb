import {execFileSync} from 'node:child_process';
import {Flags} from '@oclif/core';
import {Failure} from '../../failure.js';
import type {HostTree} from '../../host/tree.js';
import {VFIO_DRIVER} from '../../iommu/device.js';
import type {DriverWish} from '../../vfio/bind/driver-choice.js';
import {GUARDS, GUARD_NAMES, HOST_GUARDS, type GuardName} from '../../vfio/bind/guards/guard-table.js';
import type {Request} from '../../vfio/bind/members.js';
import type {NewOwner} from '../../vfio/bind/plan.js';
import type {VmmUser} from '../../vmm/run-vmm.js';
import {SELECTOR_HELP, selectedDevices} from './selected-devices.js';
import {INT_MAX} from './int-max.js';
import {usageFailure} from '../usage/usage-failure.js';

const forceFlag = (verb: 'bind' | 'unbind', guard: GuardName) =>
  Flags.boolean({description: `${verb} even if ${GUARDS[guard].refusesIf}`, helpGroup: 'FORCE'});

const forceFlags = <Name extends GuardName>(verb: 'bind' | 'unbind', guards: readonly Name[]) =>
  Object.fromEntries(guards.map((guard) => [`force-${guard}`, forceFlag(verb, guard)])) as Record<
    `force-${Name}`,
    ReturnType<typeof forceFlag>
  >;

/** Flags that overrule the guards of what takes devices from VFIO. */
export const unbindGuardFlags = forceFlags('unbind', ['held', 'foreign']);

/** Flags that overrule the guards of what takes devices from the host. */
export const guardFlags = forceFlags('bind', HOST_GUARDS);

/** The guards that the user overrules. */
export const forced = (flags: Partial<Record<`force-${GuardName}`, boolean>>): GuardName[] =>
  GUARD_NAMES.filter((guard) => flags[`force-${guard}`] === true);

/** Flags that name the devices. */
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
    summary: 'a PCI device: address, path, interface, disk, …',
    description: `a PCI device, by ${SELECTOR_HELP}`,
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

/** @throws {@link Failure} unless something is named, and each device is one that is there */
export const memberRequest = (
  tree: HostTree,
  flags: {group?: number[] | undefined; device?: string[] | undefined},
  note: (line: string) => void,
): Request => {
  const {group: groups = [], device: texts = []} = flags;
  if (groups.length + texts.length === 0)
    throw usageFailure(
      'No group or device is named.',
      'Use --group or --device; "kvfio groups" shows what there is.',
    );
  const selected = selectedDevices(tree, texts, {note});
  return {groups, devices: selected.map(({address}) => address), selected};
};

/** @throws {@link Failure} when there is no such user */
export const nodeUser = (user: string | undefined): NewOwner | null => {
  if (user === undefined) return null;
  const uid = numberOf(user);
  if (uid !== null) return {uid, name: `user ${user}`};
  const known = lookUp(user);
  if (known !== null) return {uid: known.uid, name: user};
  throw noUser(user);
};

/**
 * The user whom a VMM runs as, whose groups only the user database knows.
 *
 * @throws {@link Failure} when there is no such user, and for root, as whom the VMM would keep all rights
 */
export const vmmUser = (user: string | undefined): VmmUser | null => {
  if (user === undefined) return null;
  const uid = numberOf(user);
  const known = lookUp(user);
  if (known === null || (uid !== null && known.uid !== uid)) throw noUser(user);
  if (known.uid === 0)
    throw usageFailure('The user of --user is root.', 'Name an ordinary user, or leave out --user.');
  return {...known, name: user};
};

/**
 * The user whom a number names; null for a name.
 *
 * @throws {@link Failure} for a number that no user has: the last one stands for none (chown(2), setresuid(2))
 */
const numberOf = (user: string): number | null => {
  if (!/^\d+$/.test(user)) return null;
  if (Number(user) < NOBODYS) return Number(user);
  throw usageFailure(`No user has the number ${user}.`, `Name one below ${NOBODYS}, or a user by name.`);
};

const NOBODYS = 2 ** 32 - 1;

const noUser = (user: string): Failure =>
  new Failure({
    code: 'USER_NOT_FOUND',
    kind: 'notFound',
    what: `There is no user ${user}.`,
    why: 'The user database does not have one of that name.',
    hint: 'Name a user of this machine, or give a number.',
  });

/** A user by name or number, from wherever the machine has its users (nsswitch.conf); null when there is none. */
const lookUp = (user: string): {uid: number; gid: number} | null => {
  try {
    const text = execFileSync('getent', ['--', 'passwd', user], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [, , uid = '', gid = ''] = text.split(':');
    return /^\d+$/.test(uid) && /^\d+$/.test(gid) ? {uid: Number(uid), gid: Number(gid)} : null;
  } catch {
    return null;
  }
};
