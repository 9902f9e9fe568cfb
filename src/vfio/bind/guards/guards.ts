import {SyscallError} from '../../../linux/errno.js';
import type {GuardFinding} from '../bind-document.js';
import {readCharacterDevices} from './character-nodes.js';
import {consoleGuard} from './console.js';
import {displayGuard} from './display.js';
import type {Guard, GuardContext} from './guard.js';
import {HOST_GUARDS, type HostGuardName} from './guard-table.js';
import {heldGuard} from './held.js';
import {mountedGuard} from './mounted.js';
import {networkGuard} from './network.js';
import {platformGuard} from './platform.js';
import {sriovGuard} from './sriov.js';
import {storageGuard} from './storage.js';
import {swapGuard} from './swap.js';

const BY_NAME: Record<HostGuardName, Guard> = {
  mounted: mountedGuard,
  swap: swapGuard,
  storage: storageGuard,
  network: networkGuard,
  display: displayGuard,
  console: consoleGuard,
  platform: platformGuard,
  sriov: sriovGuard,
  held: heldGuard,
};

/**
 * What the guards of these names find; each that cannot read what it must know finds just that. What processes have open
 * and the list of character devices are read at most once, for all of them.
 */
export const findings = (
  judged: Omit<GuardContext, 'characterDevices'>,
  names: readonly HostGuardName[] = HOST_GUARDS,
): GuardFinding[] => {
  const context = {
    ...judged,
    openNodes: once(judged.openNodes),
    characterDevices: once(() => readCharacterDevices(judged.tree)),
  };
  return context.devices.length === 0 ? [] : names.flatMap((name) => ask(name, context));
};

const once = <T extends object>(read: () => T): (() => T) => {
  let answer: T | undefined;
  return () => (answer ??= read());
};

const ask = (guard: HostGuardName, context: GuardContext): GuardFinding[] => {
  try {
    return BY_NAME[guard](context);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return context.devices.slice(0, 1).map(({address}) => ({
      guard,
      device: address,
      found: `kvfio cannot determine whether it may be taken (${error.message})`,
    }));
  }
};
