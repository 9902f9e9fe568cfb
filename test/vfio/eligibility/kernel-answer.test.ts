import assert from 'node:assert/strict';
import {Failure} from '../../../src/failure.js';
import type {Group} from '../../../src/iommu/group.js';
import type {Call, Examined} from '../../../src/vfio/eligibility/check.js';
import {explainAnswer, explainDriverProbe} from '../../../src/vfio/eligibility/kernel-answer.js';
import {requireAssignable} from '../../../src/vfio/eligibility/require-assignable.js';
import {requireCdevNode} from '../../../src/vfio/cdev-file.js';
import {requireGroupNode} from '../../../src/vfio/group-file.js';
import {examinedGroup} from '../../support/examined-group.js';
import {folderOf, pci, port, type DeviceSpec} from '../../support/machine.js';

type Spec = Parameters<typeof examinedGroup>[2];

const NIC = '0000:01:00.0';
const RMRR = '0x00000000bddde000 0x00000000bdddefff direct\n';
const NOT_REMAPPED = '  24: 0 PCI-MSIX-0000:01:00.0 0-edge x\n';
const device = (
  address: string,
  driver: string | null,
  options: Parameters<typeof pci>[1] = {},
): DeviceSpec =>
  pci(address, {unit: 'dmar0', driver, ...(driver === 'vfio-pci' ? {vfio: ['vfio0']} : {}), ...options});

/** Does something with the only group, 7, of a machine. */
const withGroup = <T>(
  devices: readonly DeviceSpec[],
  spec: Spec,
  work: (examined: Examined, group: Group) => T,
): T => {
  using machine = examinedGroup(7, devices, spec);
  return work(machine.examined, machine.group);
};

const explained = (
  answer: {call: Call; errno: string},
  devices: readonly DeviceSpec[],
  spec: Spec = {},
): string =>
  withGroup(devices, spec, (examined, group) => {
    const {kind, why, hint} = explainAnswer(examined, group, answer);
    return `${kind}: ${why} ${hint}`;
  });

const failed = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof Failure)
      return `${error.code} ${error.exitCode}: ${error.what} ${error.why} ${error.hint}`;
    throw error;
  }
  return 'nothing';
};

describe('why the kernel answers a call of VFIO', () => {
  const SET_IOMMU = {call: 'VFIO_SET_IOMMU', errno: 'EPERM'} as const;

  it('is what the check with that call and errno finds, and EPERM of VFIO_SET_IOMMU has two before 6.6', () => {
    const bound = [device(NIC, 'vfio-pci')];
    assert.match(
      explained(SET_IOMMU, bound, {interrupts: NOT_REMAPPED}),
      /^refused: .*nothing remaps interrupts/,
    );
    const old = explained(SET_IOMMU, bound, {release: '6.5.0-44-generic', regions: RMRR});
    assert.match(old, /^refused: Firmware wants 0x00000000bddde000-.*mapped one to one/);
    assert.doesNotMatch(old, /interrupts/);
  });

  it('is no cause that the machine does not have', () => {
    const bound = [device(NIC, 'vfio-pci')];
    assert.match(explained(SET_IOMMU, bound), /which does not show in \/proc\/interrupts/);
    assert.match(
      explained(SET_IOMMU, bound, {release: '6.1.0-56-amd64'}),
      /or that firmware keeps memory mapped/,
    );
    const strange = explained({call: 'VFIO_SET_IOMMU', errno: 'EXDEV'}, bound);
    assert.match(strange, /^kernelRefused: .*EXDEV.*for none of the reasons that kvfio knows/);
  });

  it('names the driver in the way, and the command that removes it', () => {
    const answer = {call: 'VFIO_GROUP_SET_CONTAINER', errno: 'EPERM'} as const;
    const members = [device(NIC, 'vfio-pci'), device('0000:01:00.1', 'igb')];
    assert.equal(
      explained(answer, members),
      'refused: 0000:01:00.1 is bound to igb. Run "kvfio bind --group 7", or unbind what the host does not need.',
    );
  });

  it('is told of a driver of VFIO that takes no device, by the errno', () => {
    const qat = device(NIC, null, {vendor: '8086', device: '37c9'});
    const probed = (errno: string): string =>
      withGroup([qat], {}, (examined, group) => {
        const [member] = group.devices;
        assert.ok(member);
        return explainDriverProbe(examined, {device: member, group}, errno)?.why ?? 'nothing';
      });
    assert.match(probed('EINVAL'), /8086:37c9, which is on vfio-pci's denylist/);
    assert.equal(probed('EBUSY'), 'nothing');
  });
});

describe('a group that the kernel refuses to a VMM', () => {
  it('is refused before KVM is told of it, with the call, the answer and the cure', () => {
    const refusal = (spec: Spec, address?: string): string =>
      withGroup([device(NIC, 'vfio-pci')], spec, (examined, group) =>
        failed(() => {
          requireAssignable(examined, group, address);
        }),
      );
    assert.equal(refusal({}), 'nothing');
    assert.match(
      refusal({regions: RMRR}),
      /^NOT_ASSIGNABLE 5: A VM cannot have group 7: VFIO_GROUP_SET_CONTAINER would be answered EINVAL\. Firmware/,
    );
    assert.match(
      refusal({regions: RMRR, release: '6.5.0-44-generic'}),
      /VFIO_SET_IOMMU would be answered EPERM/,
    );
    assert.match(
      refusal({regions: RMRR}, NIC),
      /A VM cannot have 0000:01:00\.0 of group 7: VFIO_DEVICE_BIND_IOMMUFD would be answered EINVAL/,
    );
    assert.match(
      refusal({interrupts: NOT_REMAPPED}, NIC),
      /BIND_IOMMUFD would be answered EPERM.*iommufd allow_unsafe/,
    );
  });

  it('of a driver that is bound to a physical function names its virtual ones, whose driver has just let it go', () => {
    const plain = device(NIC, null);
    const why = withGroup([{...plain, files: {...plain.files, sriov_numvfs: '2\n'}}], {}, (host, group) => {
      const [member] = group.devices;
      assert.ok(member);
      return explainDriverProbe(host, {device: member, group}, 'EBUSY')?.why;
    });
    assert.match(why ?? '', /0000:01:00\.0 has 2 virtual functions\./);
  });

  it('is not advised to be bound where that does not help', () => {
    const plain = device('0000:01:00.0', 'mlx5_core');
    const pf = {...plain, files: {...plain.files, sriov_numvfs: '1\n'}};
    const vf = device('0000:01:00.2', 'mlx5_core', {physfn: folderOf(pf)});
    const of = (devices: readonly DeviceSpec[], spec: Spec = {}): string =>
      withGroup(devices, spec, (examined, group) => failed(() => requireGroupNode([], group, examined)));
    assert.match(of([device(NIC, 'igb')]), /^GROUP_NOT_BOUND 5: .*Run "kvfio bind --group 7"/);
    const region = of([device(NIC, 'igb')], {regions: RMRR});
    assert.match(region, /^GROUP_NOT_BOUND 5: .*and to bind it would not give it to a VM\. Firmware wants/);
    assert.doesNotMatch(region, /kvfio bind/);
    const bridge = port('0000:00:1c.0', {unit: 'dmar0', driver: 'shpchp'});
    const behind = of([bridge, device(NIC, null, {parent: folderOf(bridge)})]);
    assert.match(behind, /0000:00:1c\.0 is bound to shpchp\. Take shpchp from 0000:00:1c\.0 \("echo/);
    assert.doesNotMatch(behind, /kvfio bind/);
    const own = withGroup([pf, vf], {}, (examined, group) => {
      const member = group.devices.find(({address}) => address === '0000:01:00.2');
      assert.ok(member);
      return failed(() => requireCdevNode([], member, {group, examined}));
    });
    assert.match(
      own,
      /CDEV_NOT_BOUND 5: .*is a virtual function of 0000:01:00\.0, which has to keep its driver/,
    );
  });
});
