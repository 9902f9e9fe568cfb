import type {HostTree} from '../../../host/tree.js';
import {isBelow, folderNames, resolved, treeText, type Guard, type GuardContext} from './guard.js';
import {openedNodes} from './character-nodes.js';

/**
 * What the machine itself needs of a device: a TPM, which may hold the keys of its disks, and a watchdog that a program has
 * started, which resets the machine when nobody feeds it.
 */
export const platformGuard: Guard = (context) =>
  context.devices.flatMap(({address, path}) =>
    [
      ...tpmsOf(context.tree, path).map((name) => `it carries the TPM ${name}`),
      ...watchdogsOf(context, path),
    ].map((found) => ({guard: 'platform' as const, device: address, found})),
  );

/**
 * Watchdogs that run, or that a program has open. Without CONFIG_WATCHDOG_SYSFS the kernel does not report whether one runs
 * (drivers/watchdog/watchdog_dev.c, state_show), and a program may have it open as /dev/watchdog, which sysfs links to no device.
 */
const watchdogsOf = (context: GuardContext, devicePath: string): string[] => {
  const {tree} = context;
  const names = folderNames(tree, WATCHDOG).filter((name) =>
    isBelow(resolved(tree, WATCHDOG, name) ?? '', devicePath),
  );
  return [
    ...names.flatMap((name) => {
      const state = treeText(tree, `${WATCHDOG}/${name}/state`);
      if (state === null)
        return [`it carries the watchdog ${name}, and this kernel does not report whether that runs`];
      return state === 'active' ? [`it carries the watchdog ${name}, which runs`] : [];
    }),
    ...openedNodes(context, devicePath, ['watchdog']),
  ];
};

const WATCHDOG = '/sys/class/watchdog';

const TPM = '/sys/class/tpm';

/** TPMs below a device, in sysfs or in the firmware's tree of devices: sysfs does not show that of an LPC bridge as its child. */
const tpmsOf = (tree: HostTree, devicePath: string): string[] => {
  const firmware = resolved(tree, devicePath, 'firmware_node');
  return folderNames(tree, TPM)
    .filter((name) => /^tpm\d+$/.test(name))
    .filter((name) => {
      const path = resolved(tree, TPM, name);
      if (path === null) return false;
      if (isBelow(path, devicePath)) return true;
      const device = resolved(tree, path, 'device');
      const node = device === null ? null : resolved(tree, device, 'firmware_node');
      return firmware !== null && node !== null && isBelow(node, firmware);
    });
};
