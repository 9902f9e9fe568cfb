import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdirSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

describe('A search for descriptors', () => {
  let proc: string;

  beforeEach(() => {
    proc = mkdtempSync(join(tmpdir(), 'kvfio-proc-'));
  });
  afterEach(() => {
    rmSync(proc, {recursive: true});
  });

  it('leaves V8 its optimiser, however many processes there are', () => {
    for (let pid = 1; pid <= 1000; pid += 1) mkdirSync(join(proc, String(pid)));
    const source = `import {findDescriptors} from './src/linux/find-descriptors.ts';
      findDescriptors('none', ${JSON.stringify(proc)});
      function afterwards(n) { let sum = 0; for (let i = 0; i < n; i += 1) sum += i % 7; return sum; }
      for (let i = 0; i < 2000; i += 1) afterwards(1000);`;
    const {stdout} = spawnSync(
      process.execPath,
      ['--trace-opt', '--import', 'tsx', '--input-type=module', '-e', source],
      {encoding: 'utf8', maxBuffer: Infinity},
    );
    assert.match(stdout, /completed optimizing \S+ <JSFunction afterwards /);
  });
});
