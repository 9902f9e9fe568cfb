import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {writeFileSync} from 'node:fs';
import {PROJECT} from '../support/run.js';
import {scratch} from '../vm/vmm.js';
import {resultIn, ROWS_TO, type Row} from './table.js';

describe('a benchmark', function () {
  this.timeout(20_000);

  it('that cannot run is missed, with the reason', () => {
    using folder = scratch();
    const path = folder.path('rows.json');
    const {status, stdout} = spawnSync(
      process.execPath,
      ['--import', 'tsx', 'test/bench/owner-pause.ts', '--short'],
      // where no compiler is found
      {cwd: PROJECT, encoding: 'utf8', env: {PATH: folder.path(''), [ROWS_TO]: path}},
    );
    const [, why = ''] = /^cannot run here: (.+)$/m.exec(stdout) ?? [];
    assert.notEqual(why, '');
    assert.equal(status, 1);
    assert.deepEqual(resultIn(path), {rows: [], missing: `cannot run here: ${why}`});
  });

  it('without a row is missed, and so is one without a result', () => {
    using folder = scratch();
    const path = folder.path('rows.json');
    assert.deepEqual(resultIn(path), {rows: [], missing: 'ended without a result'});
    writeFileSync(path, '[]');
    assert.deepEqual(resultIn(path), {rows: [], missing: 'ended without a row'});
  });

  it('with rows is not', () => {
    using folder = scratch();
    const path = folder.path('rows.json');
    const row: Row = {what: 'a', against: 'b', value: 1, most: 2, unit: 'x', detail: ''};
    writeFileSync(path, JSON.stringify([row]));
    assert.deepEqual(resultIn(path), {rows: [row], missing: null});
  });
});
