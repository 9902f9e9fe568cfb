import {lockdownOf} from './lockdown.js';
import type {Machine} from './machine.js';

/**
 * Whether a kernel is of a family that carries the patch for pcie_acs_override, which mainline does not have: those of Proxmox, Unraid,
 * zen, Liquorix and CachyOS. Who has booted with the word may have another, and a check of its own says what that costs.
 */
export const isPatchedForAcs = ({host}: Machine): boolean =>
  /-(?:pve|unraid|zen\d*|lqx\d*|liquorix|cachyos)\b/i.test(host.kernel.release ?? '');

/** Whether the kernel keeps root from changing it, as under Secure Boot: then only kernels that are signed boot. */
export const isLockedDown = (machine: Machine): boolean => !['none', null].includes(lockdownOf(machine));
