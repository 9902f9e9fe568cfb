import assert from 'node:assert/strict';
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {isProgram} from '../../../src/linux/proc/is-program.js';
import {made} from '../../support/made.js';
import {scratch} from '../../vm/vmm.js';

describe('a process of programs', () => {
  let folder: string;
  made(() => {
    const made = scratch();
    folder = made.path('');
    return made;
  });
  const is = (name: string, state: string, flags: number): boolean => {
    writeFileSync(join(folder, 'stat'), `2 (${name}) ${state} 0 0 0 0 -1 ${flags} 0 0\n`);
    return isProgram(folder);
  };

  it('is neither a kernel thread nor one that has ended, whatever its name', () => {
    assert.equal(is('qemu', 'S', 0x0040_0000), true);
    assert.equal(is('a) Z (b', 'R', 0x0040_0000), true);
    assert.equal(is('kthreadd', 'S', 0x0020_8040), false);
    assert.equal(is('kworker/0:1) S 1 (', 'I', 0x0420_8060), false);
    assert.equal(is('qemu', 'Z', 0x0040_000c), false);
    assert.equal(is('qemu', 'X', 0), false);
  });

  it('is this one, and none that is not there', () => {
    assert.equal(isProgram('/proc/self'), true);
    assert.equal(isProgram(join(folder, 'gone')), false);
  });
});
