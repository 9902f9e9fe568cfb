import assert from 'node:assert/strict';
import type {Context} from 'mocha';
import {Failure} from '../../src/failure.js';
import type {LabIommu} from '../../src/lab/iommu-choice.js';
import {runLab} from '../../src/lab/lab.js';
import {skip} from './skip.js';

export interface LabRun {
  kernel: string;
  iommu: LabIommu;
  /** Folder of the host that the script may write to, as $KVFIO_LAB_OUT. */
  out: string;
  script: string;
}

/** Failures that mean that the lab cannot be had on this machine, as opposed to one that does not work. */
const CANNOT_START = ['cannotDecide', 'permission'];

/**
 * Boots the lab with this checkout's kvfio, runs a script in it, and fails unless it ends with 0.
 *
 * Skips by name, with the reason, where the lab cannot start; with CI set that is a failure.
 */
export const bootLab = async (context: Context, {kernel, iommu, out, script}: LabRun): Promise<void> => {
  const result = await runLab({
    task: {script},
    kvfio: [process.execPath, `${process.cwd()}/bin/run.js`],
    kernel,
    iommu,
    out,
    install: process.getuid?.() === 0,
  }).catch((error: unknown) => {
    if (process.env['CI'] === undefined && error instanceof Failure && CANNOT_START.includes(error.kind)) {
      return skip(context, `${error.message} ${error.hint}`);
    }
    throw error;
  });
  assert.equal(result.exitCode, 0, `the script failed in the lab: ${result.stderr.toString()}`);
};
