import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {readdirSync} from 'node:fs';
import {compilePrograms} from './compile-programs.js';
import {scratch} from '../vm/vmm.js';

describe('compiled programs', function () {
  this.timeout(60_000);

  it('run from any folder, without tsx', async () => {
    using folder = scratch();
    await compilePrograms(folder.path('.'), ['bench/one.ts']);
    assert.ok(readdirSync(folder.path('.')).includes('one.mjs'));
    const answer = execFileSync(process.execPath, [folder.path('one.mjs'), 'unknown', 'small'], {
      cwd: '/',
      encoding: 'utf8',
    });
    assert.deepEqual(JSON.parse(answer), {missing: 'there is no benchmark unknown'});
  });
});
