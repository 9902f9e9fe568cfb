import {readFileSync} from 'node:fs';
import {Failure} from '../../failure.js';
import {orNull, type SyscallError} from '../../linux/errno.js';
import {Process} from '../../linux/proc/process.js';
import type {ProcessStatus} from '../../linux/proc/status.js';
import {mayInspectAll} from '../../vm/inspect-permission.js';
import type {Subject} from './refusals.js';

/** What decides whether a process may trace another (__ptrace_may_access in kernel/ptrace.c, security/yama). */
export interface TracingRights {
  /** kvfio's own. */
  capSysPtrace: boolean;
  /** Effective user ids. */
  kvfioUid: number;
  ownerUid: number | null;
  /** User that owns the files in the owner's /proc folder. */
  filesUid: number | null;
  /** kernel.yama.ptrace_scope, null without Yama. */
  yamaScope: number | null;
}

/** Why the kernel does not let kvfio trace a process, and what to do: the first rule that forbids it. */
export const explainTracingRefusal = (rights: TracingRights): {why: string; hint: string} => {
  const asRoot = 'Run kvfio as root, or give it CAP_SYS_PTRACE.';
  const {capSysPtrace, kvfioUid, ownerUid, filesUid, yamaScope} = rights;
  if (yamaScope === 3)
    return {
      why: 'Nobody may trace a process on this host (kernel.yama.ptrace_scope is 3, until the next boot).',
      hint: 'Use a VMM that speaks the agent protocol (--via agent), or boot with another ptrace_scope.',
    };
  if (capSysPtrace)
    return {
      why: 'The kernel refused even though kvfio has CAP_SYS_PTRACE: a security module forbids it, or the process is in another user namespace.',
      hint: "Run kvfio in the host's own user namespace, and look for a denial in the audit log.",
    };
  if (ownerUid !== null && ownerUid !== kvfioUid)
    return {why: `It belongs to user ${ownerUid} and kvfio runs as user ${kvfioUid}.`, hint: asRoot};
  if (yamaScope === 2)
    return {
      why: 'Only processes with CAP_SYS_PTRACE may trace here (kernel.yama.ptrace_scope is 2).',
      hint: asRoot,
    };
  if (filesUid !== null && filesUid !== kvfioUid)
    return {why: 'It has made itself not dumpable, or executes a program with privileges.', hint: asRoot};
  if (yamaScope === 1)
    return {
      why: 'A process may trace its descendants only (kernel.yama.ptrace_scope is 1).',
      hint: `${asRoot.slice(0, -1)}, or set kernel.yama.ptrace_scope to 0.`,
    };
  return {
    why: 'The process has capabilities that kvfio lacks, or a security module forbids it.',
    hint: asRoot,
  };
};

/** The failure for a process that kvfio may not trace. */
export const permissionFailure = (subject: Subject, cause: SyscallError): Failure => {
  const {why, hint} = explainTracingRefusal(readRights(subject.pid));
  return new Failure({
    code: 'OWNER_NOT_PERMITTED',
    kind: 'permission',
    what: `The VM's owner, process ${subject.pid}${subject.comm === '' ? '' : ` (${subject.comm})`}, may not be traced by kvfio.`,
    why,
    hint,
    errno: cause.code,
    cause,
  });
};

const readRights = (pid: number): TracingRights => {
  const own = new Process(process.pid).status();
  const owner = new Process(pid);
  const status = orNull<ProcessStatus>(() => owner.status());
  return {
    capSysPtrace: mayInspectAll(own),
    kvfioUid: own.uid ?? process.geteuid?.() ?? -1,
    ownerUid: status?.uid ?? null,
    filesUid: orNull(() => owner.filesUid),
    yamaScope: orNull(() => Number(readFileSync('/proc/sys/kernel/yama/ptrace_scope', 'utf8'))),
  };
};
