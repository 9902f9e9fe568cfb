import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {statSync} from 'node:fs';
import type {Device} from '../../src/iommu/device.js';
import {openCdev, requireCdevNode, type CdevUse} from '../../src/vfio/cdev-file.js';
import type {CdevNode} from '../../src/vfio/cdev-node.js';
import type {FileNode} from '../../src/vfio/file-node.js';
import {openedByKvfio} from '../../src/vfio/kvfio-mark.js';
import {descriptors} from '../support/descriptors.js';
import {examinedGroup} from '../support/examined-group.js';
import {pci} from '../support/machine.js';
import {made} from '../support/made.js';
import {ownNode} from '../support/own-node.js';
import {failsWith} from '../vm/vmm.js';

const ADDRESS = '0000:07:00.0';
const machine = examinedGroup(12, [pci(ADDRESS, {unit: 'dmar0'}), pci('0000:07:00.1', {unit: 'dmar0'})]);
const {group, examined} = machine;
const rdevOf = (path: string): number => statSync(path).rdev;
/** A node that is there and is no device of VFIO's: as far as this machine can go without it. */
const node = (path: string, device = rdevOf(path)): CdevNode => ({
  kind: 'cdev',
  address: ADDRESS,
  group: 12,
  path,
  device,
});
const groupNode = (path: string): FileNode => ({kind: 'group', group: 12, path, device: rdevOf(path)});
const use = (more: Partial<CdevUse> = {}): CdevUse => ({group, examined, nodes: [], owner: 1, ...more});

/** A process that has a file open. */
const holder = async (path: string): Promise<{pid: number} & AsyncDisposable> => {
  const child = spawn('sh', ['-c', 'exec 3<>"$0"; echo; exec sleep 1000', path], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(child.stdout, 'data');
  return {
    pid: child.pid ?? -1,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
};

made(() => machine);

describe('opening a device', () => {
  it("marks it as kvfio's", () => {
    using own = ownNode();
    using file = openCdev(node(own.path), use());
    assert.equal(openedByKvfio(process.pid, file.fd), true);
  });

  it('is refused while another process has it or its group open, by name, which the kernel would not do', async () => {
    using own = ownNode();
    using another = ownNode();
    await using other = await holder(own.path);
    const busy = new RegExp(`process ${other.pid} \\(.*\\) has it or its group, 12, open`);
    const before = descriptors();
    await failsWith(() => openCdev(node(own.path), use()), 'CDEV_BUSY', 5, busy);
    await failsWith(
      () => openCdev(node(another.path), use({nodes: [groupNode(own.path)]})),
      'CDEV_BUSY',
      5,
      busy,
    );
    assert.deepEqual(descriptors(), before);
    using file = openCdev(node(own.path), use({owner: other.pid}));
    assert.ok(file.fd >= 0, 'that the owner of the VM has it does not matter');
  });

  it('is refused while the group is not viable', async () => {
    const blocked = {
      ...group,
      viable: false,
      blockers: [{address: '0000:07:00.1', driver: 'nvme'}],
    } as typeof group;
    await failsWith(
      () => openCdev(node('/dev/full'), use({group: blocked})),
      'GROUP_NOT_VIABLE',
      5,
      /^0000:07:00\.1 is bound to nvme\.$/,
    );
  });

  it('is refused at a node that is missing, or of another device', async () => {
    await failsWith(
      () => openCdev(node('/dev/kvfio-none', 1), use()),
      'CDEV_NOT_OPENED',
      3,
      /does not have the node/,
    );
    await failsWith(() => openCdev(node('/dev/full', 1), use()), 'CDEV_NOT_OPENED', 5, /of another device/);
  });
});

describe('the node of a device', () => {
  const device = (driver: string | null, boundToVfio = false): Device =>
    ({address: ADDRESS, driver, boundToVfio}) as Device;

  it('is that of its address', () => {
    const nodes = [groupNode('/dev/null'), node('/dev/full')];
    assert.equal(requireCdevNode(nodes, device('vfio-pci', true), use()).path, '/dev/full');
  });

  it('does not exist while another driver has the device, which is named', async () => {
    await failsWith(
      () => requireCdevNode([groupNode('/dev/null')], device('nvme'), use()),
      'CDEV_NOT_BOUND',
      5,
      /bound to nvme/,
    );
    await failsWith(
      () => requireCdevNode([], device(null), use()),
      'CDEV_NOT_BOUND',
      5,
      /bound to no driver/,
    );
  });

  it('does not exist on a kernel without such nodes, which is another reason', async () => {
    await failsWith(
      () => requireCdevNode([], device('vfio-pci', true), use()),
      'NO_CDEVS',
      8,
      /needs Linux 6\.6 with CONFIG_VFIO_DEVICE_CDEV/,
    );
  });
});
