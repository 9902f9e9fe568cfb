import assert from 'node:assert/strict';
import {isAtLeast, parseKernelRelease} from '../../src/linux/kernel-release.js';

describe('a kernel release', () => {
  for (const [text, major, minor] of [
    ['6.1.0-40-amd64', 6, 1],
    ['6.12.107+deb12-cloud-amd64', 6, 12],
    ['5.10', 5, 10],
    ['7.0-rc1', 7, 0],
    ['6.18.44-fc-v657', 6, 18],
    ['4.18.0-553.el8_10.x86_64', 4, 18],
  ] as const) {
    it(`${text} is version ${major}.${minor}`, () => {
      assert.deepEqual(parseKernelRelease(text), {major, minor});
    });
  }

  for (const text of ['', 'linux', '6', '6.', 'v6.1', '-6.1', '6.12345', '12345.6', '\u001b[31m6.1']) {
    it(`${JSON.stringify(text)} is none`, () => {
      assert.equal(parseKernelRelease(text), null);
    });
  }

  it('is compared as numbers', () => {
    const version = {major: 6, minor: 12};
    assert.ok(isAtLeast(version, 6, 2) && isAtLeast(version, 6, 12) && isAtLeast(version, 5, 19));
    assert.ok(!isAtLeast(version, 6, 13) && !isAtLeast(version, 7, 0));
  });
});
