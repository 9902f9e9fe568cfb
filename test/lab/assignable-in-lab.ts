/**
 * Runs in the lab: asks the kernel of every IOMMU group whether a VM can have it, by the calls that a VMM makes, and prints the
 * answers as JSON. Devices that have a node of their own are asked for by that, too, beside what kvfio predicts of it. Groups that
 * nobody uses are left as they were.
 */
import {existsSync, readdirSync} from 'node:fs';
import {readHost} from '../../src/iommu/host.js';
import {Kvm} from '../../src/kvm/system.js';
import {Descriptor} from '../../src/linux/descriptor.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {SyscallError} from '../../src/linux/errno.js';
import {KVM_DEV_TYPE_VFIO, VFIO_DMA_CC_IOMMU, VFIO_TYPE1v2_IOMMU} from '../../src/linux/ioctl.js';
import {O_RDWR, open, syscall} from '../../src/linux/libc.js';
import {Mapping} from '../../src/linux/mapping.js';
import {PinnedMemory} from '../../src/linux/memory.js';
import {VfioContainer, VfioGroup} from '../../src/vfio/ioctls.js';
import {readCdevNodes} from '../../src/vfio/cdev-node.js';
import {assess} from '../../src/vfio/eligibility/assess.js';
import {examine} from '../../src/vfio/eligibility/examined.js';

/** What the kernel refuses first. */
export interface Refused {
  call: string;
  errno: string;
}

/** What the kernel answers about a group. */
export interface GroupAnswer {
  group: number;
  /** By VFIO_GROUP_GET_STATUS; null where the group cannot be opened. */
  viable: boolean | null;
  /** The first call that the kernel refuses; null when it refuses none. Of several devices one that it gives out is enough. */
  refused: Refused | null;
  /** Whether No-Snoop DMA is coherent with one of its devices open (VFIO_DMA_CC_IOMMU); null where the kernel refuses a call. */
  coherent: boolean | null;
}

/** What the kernel answers about a device that a VMM uses by its own node, and what kvfio says of that. */
export interface CdevAnswer {
  address: string;
  refused: Refused | null;
  predicted: Refused | null;
}

export interface Answers {
  groups: GroupAnswer[];
  cdevs: CdevAnswer[];
}

// include/uapi/linux/vfio.h
const VFIO_GROUP_GET_DEVICE_FD = 0x3b6a;
const VFIO_DEVICE_BIND_IOMMUFD = 0x3b76;
const PAGE = 4096;

const ask = (group: number): GroupAnswer => {
  let call = 'open';
  let viable: boolean | null = null;
  const no = (refused: Refused): GroupAnswer => ({group, viable, refused, coherent: null});
  try {
    using file = VfioGroup.open(`/dev/vfio/${group}`);
    using container = VfioContainer.open();
    call = 'VFIO_GROUP_GET_STATUS';
    viable = file.status().viable;
    call = 'VFIO_GROUP_SET_CONTAINER';
    file.setContainer(container);
    call = 'VFIO_SET_IOMMU';
    container.setIommu(VFIO_TYPE1v2_IOMMU);
    const answers = vfioDevicesOf(group).map((address) => askDevice(file, address, container));
    const refusals = answers.filter((answer) => typeof answer !== 'boolean');
    const [coherent] = answers.filter((answer) => typeof answer === 'boolean');
    const [first] = refusals;
    if (coherent === undefined) {
      if (first === undefined) throw new Error(`VFIO has no device of group ${group}`);
      return no(first);
    }
    // before 5.19 it looks at the drivers of the group, too, which the table has with the device
    call = 'KVM_DEV_VFIO_GROUP_ADD';
    using kvm = Kvm.open();
    using vm = kvm.createVm();
    using device = vm.createDevice(KVM_DEV_TYPE_VFIO);
    device.addFile(file);
    return {group, viable, refused: null, coherent};
  } catch (error) {
    return no({call, errno: codeOf(error)});
  }
};

/** Opens a device, and maps its first memory where it has some; answers whether the container's DMA is coherent meanwhile. */
const askDevice = (group: VfioGroup, address: string, container: VfioContainer): Refused | boolean => {
  let call = 'VFIO_GROUP_GET_DEVICE_FD';
  const name = new PinnedMemory(PAGE);
  name.bytes.write(`${address}\0`);
  try {
    using device = new Descriptor(syscall('ioctl', [group.fd, VFIO_GROUP_GET_DEVICE_FD, name.at]));
    const coherent = container.checkExtension(VFIO_DMA_CC_IOMMU) === 1;
    call = 'mmap';
    try {
      new Mapping(device, PAGE)[Symbol.dispose]();
    } catch (error) {
      // memory that cannot be mapped for its kind is read and written instead
      if (codeOf(error) !== 'EINVAL') throw error;
    }
    return coherent;
  } catch (error) {
    return {call, errno: codeOf(error)};
  }
};

const askCdev = (path: string): Refused | null => {
  using device = new Descriptor(open(path, O_RDWR));
  using iommufd = new Descriptor(open('/dev/iommu', O_RDWR));
  const bind = new PinnedMemory(16);
  bind.bytes.writeUInt32LE(bind.bytes.length, 0);
  bind.bytes.writeInt32LE(iommufd.fd, 8);
  try {
    syscall('ioctl', [device.fd, VFIO_DEVICE_BIND_IOMMUFD, bind.at]);
    return null;
  } catch (error) {
    return {call: 'VFIO_DEVICE_BIND_IOMMUFD', errno: codeOf(error)};
  }
};

const predictedOf = (address: string): Refused | null => {
  const tree = new DirectoryTree();
  const host = readHost(tree, {regions: true});
  const group = host.groups.find(({devices}) => devices.some((device) => device.address === address));
  if (group === undefined) throw new Error(`${address} is in no group`);
  const {obstacles} = assess({...examine(tree, host), by: 'cdev'}, group).group;
  const first = obstacles.find(({certain, call}) => certain && call === 'VFIO_DEVICE_BIND_IOMMUFD');
  return first === undefined ? null : {call: first.call, errno: first.errno ?? ''};
};

const vfioDevicesOf = (group: number): string[] =>
  readdirSync(`/sys/kernel/iommu_groups/${group}/devices`).filter((address) =>
    existsSync(`/sys/bus/pci/drivers/vfio-pci/${address}`),
  );

const codeOf = (error: unknown): string => {
  if (error instanceof SyscallError) return error.code;
  throw error;
};

const answers: Answers = {
  groups: readdirSync('/sys/kernel/iommu_groups').map(Number).map(ask),
  cdevs: readCdevNodes(new DirectoryTree()).map(({address, path}) => ({
    address,
    refused: askCdev(path),
    predicted: predictedOf(address),
  })),
};
console.log(JSON.stringify(answers));
