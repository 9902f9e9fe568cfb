import assert from 'node:assert/strict';
import {isAtLeast, type KernelVersion} from '../../../src/host/kernel-release.js';
import {ELIGIBILITY_CHECKS} from '../../../src/vfio/eligibility/assess.js';
import {applies, possible, type Examined, type KernelCheck} from '../../../src/vfio/eligibility/check.js';

const STARTS: readonly KernelVersion[] = [
  {major: 4, minor: 18},
  {major: 5, minor: 10},
  {major: 5, minor: 14},
  {major: 6, minor: 0},
  {major: 6, minor: 4},
  {major: 6, minor: 12},
];

const mayBe = (version: KernelVersion): Pick<KernelCheck, 'since' | 'before'>[] =>
  ELIGIBILITY_CHECKS.filter(({before}) => before === undefined || !isAtLeast(version, ...before));

describe('the versions that a kernel with newer code may have', () => {
  for (const version of STARTS)
    it(`meet every check of ${version.major}.${version.minor} and newer`, () => {
      const hosts = possible({version, mayBeNewer: true} as Examined);
      const missed = mayBe(version).filter((check) => !hosts.some((host) => applies(check, host)));
      assert.ok(mayBe(version).length > 10);
      assert.deepEqual(missed, []);
    });
});
