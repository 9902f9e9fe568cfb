import assert from 'node:assert/strict';
import Export from '../../src/commands/export.js';
import type {FormatName} from '../../src/export/formats.js';
import type {Machine} from '../support/machine.js';
import {run} from '../support/run.js';

/** What `kvfio export FORMAT` prints of a machine. */
export const exported = async (format: FormatName, {root}: Pick<Machine, 'root'>): Promise<string> => {
  const {exit, stdout} = await run(Export, [format, '--sysroot', root]);
  assert.equal(exit, 0);
  // what a file would have
  return Buffer.from(stdout).toString();
};
