import assert from 'node:assert/strict';
import {VfioContainer, VfioGroup} from '../../src/vfio/ioctls.js';
import {descriptors} from '../support/descriptors.js';

// What a real group and a real container answer is asked in test/lab/kernel-answer.ts.
describe('VFIO nodes', () => {
  /** Descriptors of one file: others of this process come and go. */
  const open = (): string[] => descriptors().filter((descriptor) => descriptor.endsWith(' /dev/null'));

  it('that do not exist are ENOENT with their path', () => {
    assert.throws(() => VfioGroup.open('/dev/vfio/4711'), {message: 'open /dev/vfio/4711: ENOENT'});
    assert.throws(() => VfioContainer.open('/dev/vfio/4711'), {message: 'open /dev/vfio/4711: ENOENT'});
  });

  it('that are not a container are closed again and ENOTTY', () => {
    const before = open();
    assert.throws(() => VfioContainer.open('/dev/null'), {
      message: 'ioctl(VFIO_GET_API_VERSION) /dev/null: ENOTTY',
    });
    assert.deepEqual(open(), before);
  });

  it('that are not a group have no status and take no container', () => {
    using group = VfioGroup.open('/dev/null');
    assert.throws(() => group.status(), {message: 'ioctl(VFIO_GROUP_GET_STATUS) /dev/null: ENOTTY'});
    assert.throws(
      () => {
        group.unsetContainer();
      },
      {message: 'ioctl(VFIO_GROUP_UNSET_CONTAINER) /dev/null: ENOTTY'},
    );
  });
});
