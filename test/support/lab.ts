import type {Context} from 'mocha';
import {join} from 'node:path';
import {Failure} from '../../src/failure.js';
import {runLab, type LabOptions, type LabResult} from '../../src/lab/lab.js';
import {UNIT_ONLY} from './needs.js';
import {mayInstall} from './programs.js';
import {buildOnce, PROJECT} from './run.js';
import {skip} from './skip.js';

/** How this checkout's kvfio is started. */
export const KVFIO = [process.execPath, join(PROJECT, 'bin/run.js')];

/** Failures that mean that this machine cannot have the lab, as opposed to a lab that does not work. */
const CANNOT_START = [
  'LAB_PROGRAMS_MISSING',
  'LAB_WRONG_PROCESSOR',
  'LAB_NO_PACKAGE_LISTS',
  'LAB_APT_FAILED',
];

/**
 * Runs a task in the lab with this checkout's kvfio.
 *
 * Skips by name, with the reason, where the lab cannot start; with CI set that is a failure.
 */
export const lab = (
  context: Context,
  options: Partial<LabOptions> & Pick<LabOptions, 'task'>,
): Promise<LabResult> => {
  if (UNIT_ONLY) skip(context, 'unit tests do without the lab', 'lab');
  buildOnce();
  return runLab({kvfio: KVFIO, install: mayInstall(), ...options}).catch((error: unknown) => {
    const reason = whyNoLab(error);
    if (process.env['CI'] === undefined && reason !== undefined) return skip(context, reason);
    throw error;
  });
};

/** Why this machine cannot have the lab, or undefined where the failure says something else. */
export const whyNoLab = (error: unknown): string | undefined =>
  error instanceof Failure && CANNOT_START.includes(error.code)
    ? `${error.message} ${error.hint}`
    : undefined;
