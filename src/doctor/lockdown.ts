import {machineText, type Machine} from './machine.js';

export const LOCKDOWN = '/sys/kernel/security/lockdown';

/** `none`, `integrity` or `confidentiality` (security/lockdown/lockdown.c, lockdown_read()); null where the kernel does not show it. */
export const lockdownOf = (machine: Machine): string | null =>
  /\[(\w+)\]/.exec(machineText(machine, LOCKDOWN) ?? '')?.[1] ?? null;
