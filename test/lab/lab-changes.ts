import {readFileSync} from 'node:fs';
import {Failure} from '../../src/failure.js';
import type {RequestedChange} from '../../src/kvm-vfio/change-report.js';
import {changeVm} from '../../src/kvm-vfio/change.js';
import type {ChangeDocument} from '../../src/kvm-vfio/change-document.js';
import {vmStatus, type StatusDocument} from '../../src/kvm-vfio/status.js';
import {Deadline} from '../../src/linux/deadline.js';
import type {FileId} from '../../src/vfio/file-node.js';
import type {VmPlace} from '../../src/owner/reach-owner.js';

/** A document, or what a failure says. */
export type Answer = ChangeDocument | StatusDocument | Refused;

export interface Refused {
  code: string;
  exit: number;
  errno: string | null;
  why: string;
}

const options = {
  deadline: Deadline.after(600_000),
  patience: 60_000,
  wait: true,
  deviceFd: undefined,
};

/** Does in this process what a command does: each start of a program takes seconds in a guest. */
export const changed = (
  place: VmPlace,
  via: 'agent' | 'inject',
  change: RequestedChange | 'status' | 'verify',
  dryRun = false,
): Promise<Answer> =>
  answerOf(
    typeof change === 'string'
      ? vmStatus(place, {...options, via, verify: change === 'verify'})
      : changeVm(place, change, {...options, via, dryRun}),
  );

const answerOf = async (work: Promise<Answer>): Promise<Answer> => {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return {code: error.code, exit: error.exitCode, errno: error.errno, why: error.why};
  }
};

export const attach = (...files: FileId[]): RequestedChange => ({
  command: 'attach',
  files,
  container: undefined,
  create: 'if-missing',
});

export const detach = (...files: FileId[]): RequestedChange => ({
  command: 'detach',
  files,
  closeDevice: false,
});

/** Everything that the owner has open. */
export const DETACH_ALL: RequestedChange = {command: 'detach', files: 'all', closeDevice: false};

/** How often KVM has taken a VM for non-coherent, and back, by the probes that the caller of this program set. */
export const counted = (): [on: number, off: number] => {
  const lines = readFileSync('/sys/kernel/tracing/kprobe_profile', 'utf8').split('\n');
  const count = (name: string): number =>
    Number(lines.map((line) => line.trim().split(/\s+/)).find(([probe]) => probe === name)?.[1] ?? -1);
  return [count('on'), count('off')];
};
