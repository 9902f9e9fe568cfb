import assert from 'node:assert/strict';
import {existsSync, readdirSync} from 'node:fs';
import {join} from 'node:path';
import {PROJECT} from '../support/run.js';
import {scratch} from '../vm/vmm.js';
import {compileTests} from './compiled.js';

describe('the tests that a guest runs', function () {
  this.timeout(120_000);

  it('are compiled, each file of them', async () => {
    using folder = scratch();
    const files = readdirSync(join(PROJECT, 'test'), {recursive: true, encoding: 'utf8'})
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => `test/${name}`);
    await compileTests(files, folder.path('out'));
    for (const file of files)
      assert.ok(existsSync(folder.path(`out/${file.replace(/\.ts$/, '.mjs')}`)), file);
  });
});
