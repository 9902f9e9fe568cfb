import assert from 'node:assert/strict';
import {isAtLeast, parseKernelRelease, stableNumber, withoutBuilder} from '../../src/host/kernel-release.js';

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

  const DEBIAN =
    'Linux version 6.1.0-3-amd64 (me@6.1.77.example) (gcc-12 (Debian 12.2.0-14) 12.2.0) #1 SMP Debian 6.1.8-1 (2023-01-29)\n';

  for (const [release, procVersion, stable] of [
    ['6.1.8', null, 8],
    ['6.1.0-3-amd64', null, null],
    ['6.1.0-3-amd64', DEBIAN, 8],
    ['6.1.0-56-amd64', 'Linux version 6.1.0-56-amd64 (gcc-12) #1 SMP Debian 6.1.192-2 (2026-01-01)\n', 192],
    ['6.1.0-56-amd64', 'Linux version 6.1.0-56-amd64 (a@b) (gcc (GCC) 6.1.5) #1 SMP\n', null],
    ['6.12.107+deb12-amd64', 'Linux version 6.12.107+deb12-amd64 (a@b) #1 SMP\n', 107],
    ['6.1.0', 'Linux version 6.1.0 (a@b) #1 SMP 16.1.200 2.6.1.200\n', null],
    ['linux', DEBIAN, null],
  ] as const) {
    it(`${release} has the stable number ${stable ?? 'unknown'}${procVersion === null ? '' : ' by /proc/version'}`, () => {
      assert.equal(stableNumber(release, procVersion), stable);
    });
  }

  it('says nothing of who built it, once that is taken out', () => {
    assert.equal(withoutBuilder(DEBIAN), 'Linux version 6.1.0-3-amd64 #1 SMP Debian 6.1.8-1 (2023-01-29)\n');
  });
});
