import assert from 'node:assert/strict';
import {join} from 'node:path';
import Diff from '../../src/commands/diff.js';
import Groups from '../../src/commands/groups.js';
import Snapshot from '../../src/commands/snapshot.js';
import {run, type Outcome} from '../support/run.js';
import {documentOf} from '../support/schema.js';
import {STEERING} from '../support/steering.js';

const FLAGS = [
  [],
  ['--explain', '--regions'],
  ['--csv'],
  ['--sort', 'evidence', '--columns', 'evidence,name,iommu,driver,override,reset,snoop'],
];

/**
 * Whatever the machine is, the answer comes, and nothing of it steers the terminal.
 *
 * @param folder - for a file of this call's own
 */
export const answers = async (
  sysroot: string,
  folder: string,
  exits: readonly number[] = [0],
): Promise<void> => {
  for (const flags of FLAGS) {
    const {exit, stdout, stderr} = await run(Groups, ['--sysroot', sysroot, ...flags]);
    assert.ok(exits.includes(exit), stderr);
    plain(stdout);
    plain(stderr);
    if (exit !== 0) return;
  }
  const json = await run(Groups, ['--sysroot', sysroot, '--json', '--explain', '--regions']);
  assert.equal(json.exit, 0, json.stdout);
  plain(json.stdout);
  const document = documentOf<object>(json.stdout, 'groups');
  const replayed = await replay(sysroot, folder);
  assert.deepEqual(
    {...documentOf<object>(replayed.stdout, 'groups'), origin: null},
    {...document, origin: null},
  );
  const compared = await run(Diff, ['--expect', join(folder, 'replay'), sysroot]);
  assert.equal(compared.exit, 0, compared.stdout);
  plain(compared.stdout);
  plain(compared.stderr);
};

const replay = async (sysroot: string, folder: string): Promise<Outcome> => {
  const file = join(folder, 'replay');
  const taken = await run(Snapshot, ['--sysroot', sysroot, file, '--force']);
  assert.equal(taken.exit, 0, taken.stderr);
  plain(taken.stderr);
  return run(Groups, ['--sysroot', file, '--json', '--explain', '--regions']);
};

const plain = (text: string): void => {
  assert.doesNotMatch(text.replaceAll('\n', ''), STEERING);
};
