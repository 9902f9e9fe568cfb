import assert from 'node:assert/strict';
import {
  addPlan,
  attachPlan,
  createPlan,
  deletePlan,
  describePlanStep,
  detachPlan,
  type Plan,
  type PlannedFile,
} from '../../src/kvm-vfio/plan.js';

const file = (group: number, fd: number | null, given = false): PlannedFile => ({
  name: `group ${group}`,
  node: {kind: 'group', group, path: `/dev/vfio/${group}`, device: 0xf500 + group},
  fd,
  given,
  container: 'none',
});

const actions = ({steps}: Plan): string[] =>
  steps.map((step) => ('file' in step ? `${step.action} ${step.file.node.group}` : step.action));

describe('a plan', () => {
  it('to create makes a device, unless one is there and is as good', () => {
    assert.deepEqual(actions(createPlan({device: null}, true)), ['create-device']);
    assert.deepEqual(actions(createPlan({device: 7}, true)), []);
    assert.deepEqual(actions(createPlan({device: 7}, false)), ['create-device']);
  });

  it('to attach opens everything before it touches the owner', () => {
    const plan = attachPlan({device: null, files: [file(1, null), file(2, 30), file(3, null)]});
    assert.deepEqual(actions(plan), [
      'open 1',
      'open 3',
      'create-device',
      'give 1',
      'add 1',
      'add 2',
      'give 3',
      'add 3',
    ]);
  });

  it('to attach uses the device that is there', () => {
    assert.deepEqual(actions(attachPlan({device: 7, files: [file(2, 30)]})), ['add 2']);
  });

  it('to add or delete takes no answer of the kernel for success, and to attach or detach takes one', () => {
    const situation = {device: 7, files: [file(2, 30)]};
    const toleratesNoop = ({steps}: Plan): boolean[] =>
      steps.flatMap((step) => ('toleratesNoop' in step ? [step.toleratesNoop] : []));
    assert.deepEqual(toleratesNoop(addPlan(situation)), [false]);
    assert.deepEqual(toleratesNoop(deletePlan(situation)), [false]);
    assert.deepEqual(toleratesNoop(attachPlan(situation)), [true]);
    assert.deepEqual(toleratesNoop(detachPlan(situation, false)), [true]);
  });

  it('to detach leaves open what the owner opened itself, and does last what cannot be undone', () => {
    const files = [file(1, 30, true), file(2, 31, false), file(3, null)];
    assert.deepEqual(actions(detachPlan({device: 7, files}, true)), [
      'delete 1',
      'delete 2',
      'close 1',
      'close-device',
    ]);
    assert.deepEqual(actions(detachPlan({device: null, files}, true)), ['close 1']);
  });

  it('says of each step what it does, and of what changes the owner for longer what undoes it', () => {
    const {steps} = attachPlan({device: null, files: [{...file(12, null), container: 'type1'}]});
    assert.deepEqual(steps.map(describePlanStep), [
      {does: 'open /dev/vfio/12 and put it into a type 1 container of its own', undo: null},
      {does: 'create the kvm-vfio device (KVM_CREATE_DEVICE)', undo: 'close the kvm-vfio device'},
      {
        does: 'hand the descriptor of group 12 to the owner',
        undo: 'close the descriptor of group 12 in the owner',
      },
      {does: 'add group 12 (KVM_DEV_VFIO_FILE_ADD)', undo: 'delete group 12'},
    ]);
    const [stays] = createPlan({device: null, closeReleases: false}, false).steps.map(describePlanStep);
    assert.deepEqual(stays, {
      does: 'create the kvm-vfio device (KVM_CREATE_DEVICE), which stays until the VM ends',
      undo: null,
    });
  });
});
