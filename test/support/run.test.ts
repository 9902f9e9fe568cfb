import assert from 'node:assert/strict';
import {mkdirSync, utimesSync, writeFileSync} from 'node:fs';
import {dirname} from 'node:path';
import {scratch} from '../vm/vmm.js';
import {isBuilt} from './run.js';

describe('what users start', () => {
  it('is built anew when a source, or what bundles or compiles it, is newer', () => {
    using folder = scratch();
    const written = (name: string, time: number): void => {
      const file = folder.path(name);
      mkdirSync(dirname(file), {recursive: true});
      writeFileSync(file, '');
      utimesSync(file, time, time);
    };
    const sources = ['src/cli/startup/main.ts', 'src/failure.ts', '.ci/bundle.js', '.ci/compile.js'];
    for (const name of sources) written(name, 1000);
    assert.equal(isBuilt(folder.path('')), false);
    written('dist/bundle/cli/main.js', 2000);
    assert.equal(isBuilt(folder.path('')), true);
    for (const name of sources) {
      written(name, 3000);
      assert.equal(isBuilt(folder.path('')), false, name);
      written(name, 1000);
    }
  });
});
