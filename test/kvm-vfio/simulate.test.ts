import assert from 'node:assert/strict';
import {
  simulate,
  simulatedRefusal,
  type Simulation,
  type SimulationInput,
} from '../../src/kvm-vfio/simulate.js';
import type {HeldFile, VmState} from '../../src/kvm-vfio/vm-state.js';
import {addPlan, attachPlan, detachPlan, type Plan, type PlannedFile} from '../../src/kvm-vfio/plan.js';
import type {FileCoherency, GroupContainer} from '../../src/kvm-vfio/model/enforced-coherent.js';
import {stableNumber} from '../../src/host/kernel-release.js';

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
): Simulation => {
  const held = files
    .filter(({fd}) => fd !== null)
    .map((file) => ({...file, registered, record: null, gone: false}));
  return simulate({
    facts: {
      held: held as unknown as HeldFile[],
      ambiguous: false,
      host: {kernel: {release, stable: stableNumber(release, null), coherencyRule: 'devices'}},
    } as unknown as VmState,
    targets: files,
    plan: plan({device: 7, files}),
    outcome: null,
  });
};

/** Attaching one group to a VM on Linux 5.10, which has no device that anybody has open. */
const onOldKernel = (
  file: Target,
  {container, created}: {container: GroupContainer; created?: boolean},
): SimulationInput => ({
  facts: {
    held: (file.fd === null
      ? []
      : [{...file, container, registered: null, record: null, gone: false}]) as unknown as HeldFile[],
    ambiguous: false,
    host: {kernel: {release: '5.10.0-35-amd64', coherencyRule: 'all-units'}},
  } as unknown as VmState,
  targets: [file],
  plan: attachPlan({device: null, files: [file], closeReleases: false}),
  outcome: created === undefined ? null : {created, files: new Map([[file.name, {fd: 5, outcome: 'added'}]])},
});

describe('the course of a change, foreseen', () => {
  it('ends before 5.19 at a group that is in no container, and only there', () => {
    const answer = (file: Target, container: GroupContainer): string | undefined =>
      simulatedRefusal(onOldKernel(file, {container}))?.answer;
    assert.equal(answer(target(5), 'none'), 'EINVAL');
    assert.equal(answer(target(5), 'type1'), undefined);
    assert.equal(answer(target(5), 'unknown'), undefined);
    assert.equal(answer(target(null), 'none'), 'EINVAL');
    assert.equal(answer({...target(null), container: 'type1'}, 'none'), undefined);
  });

  it('takes a device into account that was closed before 6.1.9, until another one could be created', () => {
    const before = (created?: boolean): string =>
      simulate(onOldKernel(target(5), {container: 'type1', ...(created === undefined ? {} : {created})}))
        .before;
    assert.deepEqual([before(), before(true)], ['unknown', 'coherent']);
    assert.equal(simulate(onOldKernel(target(5), {container: 'type1'})).after, 'non-coherent');
  });

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
