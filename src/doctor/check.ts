import type {Live, Machine} from './machine.js';

/** What a machine can be examined for. */
export const PURPOSES = ['attach', 'probe', 'passthrough'] as const;
export type Purpose = (typeof PURPOSES)[number];

/** `unknown` is not a failure: kvfio could not determine it. */
export type CheckState = 'pass' | 'fail' | 'unknown';

/** What one check found. */
export interface CheckFinding {
  state: CheckState;
  /** What was seen, one sentence without a full stop. */
  seen: string;
  /** What can be done; null where nothing has to be. */
  remedy: string | null;
}

/** One thing that is looked at. */
export interface HostCheck {
  /** Stable name, which scripts may compare. */
  id: string;
  title: string;
  /** Title where the check fails. */
  otherwise: string;
  /** Why it matters, one sentence without a full stop. */
  matters: string;
  /** What cannot be done when it fails; empty for what is good to know. */
  neededFor: readonly Purpose[];
  look: (machine: Machine) => CheckFinding;
}

/** Looks at what only the machine itself answers. */
export const ofLive =
  (look: (machine: Machine, live: Live) => CheckFinding): HostCheck['look'] =>
  (machine) =>
    machine.live === null ? unknown(CAPTURE_CANNOT_SAY) : look(machine, machine.live);

const CAPTURE_CANNOT_SAY = 'a capture cannot say: only the machine itself answers that';

export const pass = (seen: string): CheckFinding => ({state: 'pass', seen, remedy: null});
export const fail = (seen: string, remedy: string): CheckFinding => ({state: 'fail', seen, remedy});
export const unknown = (seen: string, remedy: string | null = null): CheckFinding => ({
  state: 'unknown',
  seen,
  remedy,
});
