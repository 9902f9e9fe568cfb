import assert from 'node:assert/strict';
import {mkdirSync, symlinkSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {groupOfDevice} from '../../src/iommu/group-of-device.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {made} from '../support/made.js';
import {failsWith, scratch} from '../vm/vmm.js';

describe('the group of a device', () => {
  let root: string;
  made(() => {
    const folder = scratch();
    root = folder.path('');
    return folder;
  });
  before(() => {
    for (const [bus, address, group] of [
      ['pci', '0000:07:00.0', '12'],
      ['mdev', '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001', '13'],
      ['pci', '0000:00:00.0', null],
    ] as const) {
      const folder = join(root, 'sys/devices', address);
      mkdirSync(folder, {recursive: true});
      writeFileSync(join(folder, 'uevent'), '');
      if (group !== null) symlinkSync(`../../kernel/iommu_groups/${group}`, join(folder, 'iommu_group'));
      mkdirSync(join(root, 'sys/bus', bus, 'devices'), {recursive: true});
      symlinkSync(`../../../devices/${address}`, join(root, 'sys/bus', bus, 'devices', address));
    }
  });
  const groupOf = (address: string): number => groupOfDevice(new DirectoryTree(root), address);

  it('is found on whichever bus the device is', () => {
    assert.equal(groupOf('0000:07:00.0'), 12);
    assert.equal(groupOf('83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'), 13);
  });

  it('is not there for a device without an IOMMU, and a device that is not there is another failure', async () => {
    await failsWith(() => groupOf('0000:00:00.0'), 'DEVICE_WITHOUT_GROUP', 3);
    await failsWith(() => groupOf('0000:09:00.0'), 'DEVICE_NOT_FOUND', 3, /No bus of this machine/);
  });
});
