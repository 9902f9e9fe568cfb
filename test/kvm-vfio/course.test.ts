import assert from 'node:assert/strict';
import {courseOf, type Course} from '../../src/kvm-vfio/course.js';
import type {HeldFile, VmFacts} from '../../src/kvm-vfio/facts.js';
import {addPlan, attachPlan, detachPlan, type Plan, type PlannedFile} from '../../src/kvm-vfio/plan.js';
import type {FileCoherency} from '../../src/kvm-vfio/model/told.js';

type Target = PlannedFile & FileCoherency;

const target = (fd: number | null, kind: 'group' | 'cdev' = 'group'): Target => ({
  name: `${kind} ${fd ?? 'new'}`,
  node:
    kind === 'group'
      ? {kind, group: 12, path: '/dev/vfio/12', device: 1}
      : {kind, address: '0000:01:00.0', group: 12, path: '/dev/vfio/devices/vfio0', device: 2},
  fd,
  given: true,
  container: 'none',
  verdict: 'not-enforced',
  confidence: 'exact',
});

const course = (
  plan: (situation: {device: number | null; files: Target[]}) => Plan,
  files: Target[],
  {registered = null, release = '6.12.0'}: {registered?: boolean | null; release?: string} = {},
): Course => {
  const held = files
    .filter(({fd}) => fd !== null)
    .map((file) => ({...file, registered, decided: null, gone: false}));
  return courseOf({
    facts: {
      held: held as unknown as HeldFile[],
      ambiguous: false,
      host: {kernel: {release, coherencyRule: 'devices'}},
    } as unknown as VmFacts,
    targets: files,
    plan: plan({device: 7, files}),
    outcome: null,
  });
};

describe('the course of a change, foreseen', () => {
  it('is that of an ADD that succeeds, where one that does not is a failure', () => {
    assert.deepEqual(course(addPlan, [target(5)]), {before: 'unknown', after: 'non-coherent', looked: true});
    assert.deepEqual(course(attachPlan, [target(5)]), {
      before: 'unknown',
      after: 'non-coherent',
      looked: null,
    });
  });

  it('is not that of an older kernel, when there is a cdev', () => {
    const {after} = course(attachPlan, [target(null, 'cdev')], {release: '5.14.0-503.el9.x86_64'});
    assert.equal(after, 'non-coherent');
  });

  it('ends with a device that keeps its files when it is closed, where the kernel does so', () => {
    const closing = (situation: {device: number | null; files: Target[]}): Plan =>
      detachPlan({...situation, files: []}, true);
    const after = (release: string): string =>
      course(closing, [target(5)], {registered: true, release}).after;
    assert.deepEqual(['6.12.0', '6.1.9', '6.1.8', '5.15.0'].map(after), [
      'coherent',
      'coherent',
      'non-coherent',
      'non-coherent',
    ]);
  });
});
