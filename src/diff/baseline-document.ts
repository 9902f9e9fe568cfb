import {readdirSync} from 'node:fs';
import {join} from 'node:path';
import type {Warning} from '../host/attributes.js';
import {Failure} from '../failure.js';
import {summaryOf, type MachineSummary} from './diff-document.js';
import {collectKinds, type Kinds} from './kinds.js';
import type {ComparedMachine} from './machine.js';

/** What `kvfio diff --baseline A DIR --json` prints. */
export interface BaselineDocument extends Kinds {
  schemaVersion: 1;
  baseline: MachineSummary;
  /** The folder whose entries were read. */
  folder: string;
  /** What could not be read of the baseline. */
  warnings: Warning[];
}

/**
 * Compares each entry of a folder, a snapshot or the folder of a machine, with one machine.
 *
 * @param onProgress receives how many of how many have been read
 * @throws Failure when the folder cannot be read, or holds no machine
 */
export const baselineDocument = (
  baseline: ComparedMachine,
  folder: string,
  onProgress: (done: number, of: number) => void,
): BaselineDocument => {
  const files = namesIn(folder)
    .sort()
    .map((name) => join(folder, name));
  const kinds = collectKinds(baseline, files, (done) => {
    onProgress(done, files.length);
  });
  if (kinds.hosts === 0) throw noSnapshots(folder, kinds);
  return {
    schemaVersion: 1,
    baseline: summaryOf(baseline),
    folder,
    ...kinds,
    warnings: baseline.warnings,
  };
};

const namesIn = (folder: string): string[] => {
  try {
    return readdirSync(folder);
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code ?? 'unknown';
    const [kind, why] = REASONS[errno] ?? (['kernelRefused', `The kernel answered ${errno}.`] as const);
    throw new Failure({
      code: 'FOLDER_UNREADABLE',
      kind,
      what: `The snapshots of ${folder} cannot be read.`,
      why,
      hint:
        errno === 'EACCES'
          ? 'Run kvfio as a user who may read it.'
          : 'Name a folder that holds files made by "kvfio snapshot".',
      errno,
      cause: error,
    });
  }
};

const REASONS: Record<string, readonly [Failure['kind'], string]> = {
  ENOENT: ['notFound', 'There is no such folder.'],
  ENOTDIR: ['usage', 'It is not a folder.'],
  EACCES: ['permission', 'You may not read it (EACCES).'],
};

const noSnapshots = (folder: string, {unread}: Kinds): Failure => {
  const [first] = unread;
  return new Failure({
    code: 'NO_SNAPSHOTS',
    kind: 'notFound',
    what: `${folder} holds no snapshot.`,
    why:
      first === undefined
        ? 'It is empty.'
        : `None of its ${unread.length} entries can be read as a machine; of ${first.file}: ${first.why}`,
    hint: 'Name a folder that holds files made by "kvfio snapshot".',
  });
};
