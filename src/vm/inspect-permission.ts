import {Process} from '../linux/proc/process.js';
import type {ProcessStatus} from '../linux/proc/status.js';

/** Bit of the capability (include/uapi/linux/capability.h). */
const CAP_SYS_PTRACE = 19n;

/**
 * Whether kvfio may look into other users' processes: with this capability only one of another user namespace, or that a
 * security module protects, is hidden from it (__ptrace_may_access in kernel/ptrace.c).
 */
export const mayInspectAll = (
  own: Pick<ProcessStatus, 'capEff'> = new Process(process.pid).status(),
): boolean => (((own.capEff ?? 0n) >> CAP_SYS_PTRACE) & 1n) === 1n;

/** What helps whom the kernel does not let see another process's descriptors. */
export const howToInspect = (may = mayInspectAll(), uid = process.geteuid?.() ?? -1): string => {
  if (may)
    return 'Run kvfio where the process was started: it is in another user namespace, or a security module protects it.';
  return uid === 0
    ? 'Run kvfio outside of this container, whose root lacks CAP_SYS_PTRACE.'
    : 'Run kvfio as root, or with CAP_SYS_PTRACE.';
};
