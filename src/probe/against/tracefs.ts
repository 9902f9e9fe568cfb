import {readFileSync, statSync} from 'node:fs';
import {Failure} from '../../failure.js';

/** Where the kernel's tracer is to be found: its own place, and where it was before Linux 4.1. */
const PLACES = ['/sys/kernel/tracing', '/sys/kernel/debug/tracing'];

/**
 * The folder of tracefs, in which instances can be made and KVM's exits can be traced.
 *
 * @throws {@link Failure} cannotDecide, with what is missing
 */
export const findTracefs = (places: readonly string[] = PLACES): string => {
  const answers = places.map((place) => ({place, error: errorOf(`${place}/instances`)}));
  const usable = answers.find(({error}) => error === null);
  if (usable === undefined) {
    const denied = answers.find(({error}) => error === 'EACCES' || error === 'EPERM');
    throw denied === undefined ? notMounted(places[0] ?? '') : notRoot(denied.place, denied.error ?? '');
  }
  for (const event of ['kvm_exit', 'kvm_entry']) {
    const error = errorOf(`${usable.place}/events/kvm/${event}/format`);
    if (error !== null) throw noEvent(`${usable.place}/events/kvm/${event}`);
  }
  try {
    readFileSync(`${usable.place}/trace_clock`);
  } catch (error) {
    throw notRoot(usable.place, codeOf(error));
  }
  return usable.place;
};

/** Name of the error of looking at a path; null when there is none. */
const errorOf = (path: string): string | null => {
  try {
    statSync(path);
    return null;
  } catch (error) {
    return codeOf(error);
  }
};

export const codeOf = (error: unknown): string => {
  if (error instanceof Error && 'code' in error) return String(error.code);
  throw error;
};

const WHAT = 'The exits of a running VM cannot be counted here.';

const notMounted = (place: string): Failure =>
  new Failure({
    code: 'NO_TRACEFS',
    kind: 'cannotDecide',
    what: WHAT,
    why: `tracefs is not mounted at ${place}, or this kernel has no tracer (CONFIG_FTRACE).`,
    hint: `Run "mount -t tracefs nodev ${place}" as root.`,
  });

const notRoot = (place: string, errno: string): Failure =>
  new Failure({
    code: 'TRACEFS_NOT_PERMITTED',
    kind: 'cannotDecide',
    what: WHAT,
    why: `You may not use the kernel's tracer in ${place} (${errno}).`,
    hint: 'Run kvfio as root; a kernel that is locked down (secure boot) lets nobody trace.',
    errno,
  });

const noEvent = (event: string): Failure =>
  new Failure({
    code: 'NO_KVM_EVENTS',
    kind: 'cannotDecide',
    what: WHAT,
    why: `${event} is missing: KVM is not loaded, or was built without tracepoints.`,
    hint: 'Load kvm_intel or kvm_amd.',
  });
