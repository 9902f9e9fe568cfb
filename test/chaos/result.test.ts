import assert from 'node:assert/strict';
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {Places, type PlaceEnding} from '../support/places.js';
import {PROJECT} from '../support/run.js';
import {reportOf} from './report.js';
import {allHeld, emptyLine, readOutput, verdictOf, type Line} from './result.js';
import {runTrial} from './run-trial.js';
import {TRIALS} from './trials.js';

const good: Line = {...emptyLine('one', 'a trial'), where: 'this host', rounds: 3};
const surroundings = {folder: '/nowhere', soak: 1, seed: 1};
const plan = {place: 'host', size: 'medium'} as const;

/** Ends every command in one way. */
class Ends extends Places {
  readonly #ending: PlaceEnding | {missing: string};

  constructor(ending: PlaceEnding | {missing: string}) {
    super('6.12', false);
    this.#ending = ending;
  }

  override run(): Promise<PlaceEnding | {missing: string}> {
    return Promise.resolve(this.#ending);
  }
}

const ran = (ending: PlaceEnding | {missing: string}): Promise<Line> =>
  runTrial({name: 'one', what: 'a trial', plan}, new Ends(ending), surroundings);

const said = (rounds: number): string =>
  JSON.stringify({what: 'a trial', rounds, lost: [], leaked: [], harmed: [], detail: '', seconds: 1});

describe('a line of the chaos table', () => {
  it('holds when it ran, and nothing was lost, leaked or harmed', () => {
    assert.equal(verdictOf(good), 'held');
    for (const kind of ['lost', 'leaked', 'harmed'])
      assert.equal(verdictOf({...good, [kind]: ['something']}), 'MISSED');
    assert.equal(verdictOf({...good, rounds: 0}), 'MISSED');
  });

  it('that did not run does not hold, and is named with its reason', () => {
    const line = {...good, missing: 'there is no strace'};
    assert.equal(verdictOf(line), 'NOT RUN');
    assert.equal(allHeld([good, line]), false);
    assert.match(reportOf([good, line]), /^one did not run: there is no strace$/m);
    assert.match(reportOf([good, line]), /^a trial +this host +3 .* NOT RUN/m);
  });

  it('is missed by a run of no trial', () => {
    assert.equal(allHeld([]), false);
    assert.equal(allHeld([good]), true);
  });

  it('has what the trial said last, and where it ran', async () => {
    const line = await ran({status: '0', output: `${said(1)}\nnoise\n${said(2)}\n`});
    assert.deepEqual([line.rounds, line.where, verdictOf(line)], [2, 'this host', 'held']);
  });

  it('of a trial that died is lost, with its last words', async () => {
    const line = await ran({status: 'SIGKILL', output: `${said(2)}\nbang\n`});
    assert.equal(line.rounds, 2);
    assert.deepEqual(line.lost, ['the trial ended with SIGKILL: bang']);
  });

  it('of a trial that said nothing is missed', async () => {
    assert.equal(verdictOf(await ran({status: '0', output: ''})), 'MISSED');
  });

  it('without KVM and lab, or without namespaces, has not run', async () => {
    assert.equal(verdictOf(await ran({missing: 'no lab'})), 'NOT RUN');
    const line = await ran({status: '1', output: 'unshare: unshare failed: Operation not permitted\n'});
    assert.match(line.missing ?? '', /^it needs namespaces of its own: unshare: /);
  });

  it('reads no more than whole lines of a trial', () => {
    assert.equal(readOutput('{"what":"cut o').result, undefined);
  });
});

describe('the table of trials', () => {
  it('names each file that has one', () => {
    const folder = join(PROJECT, 'test/chaos');
    const files = readdirSync(folder)
      .filter(
        (name) =>
          !name.endsWith('.test.ts') &&
          readFileSync(join(folder, name), 'utf8').includes('export const trial:'),
      )
      .map((name) => name.replace('.ts', ''));
    assert.deepEqual(Object.keys(TRIALS).sort(), files.sort());
  });
});
