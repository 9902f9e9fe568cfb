/**
 * Numbers of the ioctls that kvfio makes, and the constants of their arguments, in the kernel's spelling.
 *
 * Sources: include/uapi/asm-generic/ioctl.h, include/uapi/linux/kvm.h, include/uapi/linux/vfio.h.
 */

// x86 and arm64 use the generic layout of a request: direction 2 bits, size 14, type 8, number 8.
const ioc = (direction: number, type: number, nr: number, size: number): number =>
  ((direction << 30) | (size << 16) | (type << 8) | nr) >>> 0;
const _IO = (type: number, nr: number): number => ioc(0, type, nr, 0);
const _IOW = (type: number, nr: number, size: number): number => ioc(1, type, nr, size);
const _IOWR = (type: number, nr: number, size: number): number => ioc(3, type, nr, size);

const KVMIO = 0xae;
const VFIO_TYPE = 0x3b;
const VFIO_BASE = 100;

/** `struct kvm_create_device`: u32 type, u32 fd (out), u32 flags. */
export const SIZEOF_KVM_CREATE_DEVICE = 12;
/** `struct kvm_device_attr`: u32 flags, u32 group, u64 attr, u64 addr. */
export const SIZEOF_KVM_DEVICE_ATTR = 24;
/** `struct vfio_group_status`: u32 argsz, u32 flags (out). */
export const SIZEOF_VFIO_GROUP_STATUS = 8;

export const IOCTLS = {
  // for /dev/kvm
  KVM_GET_API_VERSION: _IO(KVMIO, 0x00),
  KVM_CREATE_VM: _IO(KVMIO, 0x01),
  KVM_CHECK_EXTENSION: _IO(KVMIO, 0x03),

  // for VM descriptors
  KVM_CREATE_DEVICE: _IOWR(KVMIO, 0xe0, SIZEOF_KVM_CREATE_DEVICE),

  // for device descriptors
  KVM_SET_DEVICE_ATTR: _IOW(KVMIO, 0xe1, SIZEOF_KVM_DEVICE_ATTR),
  KVM_GET_DEVICE_ATTR: _IOW(KVMIO, 0xe2, SIZEOF_KVM_DEVICE_ATTR),
  KVM_HAS_DEVICE_ATTR: _IOW(KVMIO, 0xe3, SIZEOF_KVM_DEVICE_ATTR),

  // for VFIO containers; VFIO puts no sizes into its numbers
  VFIO_GET_API_VERSION: _IO(VFIO_TYPE, VFIO_BASE + 0),
  VFIO_CHECK_EXTENSION: _IO(VFIO_TYPE, VFIO_BASE + 1),
  VFIO_SET_IOMMU: _IO(VFIO_TYPE, VFIO_BASE + 2),

  // for VFIO groups
  VFIO_GROUP_GET_STATUS: _IO(VFIO_TYPE, VFIO_BASE + 3),
  VFIO_GROUP_SET_CONTAINER: _IO(VFIO_TYPE, VFIO_BASE + 4),
  VFIO_GROUP_UNSET_CONTAINER: _IO(VFIO_TYPE, VFIO_BASE + 5),
} as const;

export type IoctlName = keyof typeof IOCTLS;

/** The only answer to KVM_GET_API_VERSION that a program may accept. */
export const KVM_API_VERSION = 12;

// KVM_CHECK_EXTENSION
export const KVM_CAP_DEVICE_CTRL = 89;

// KVM_CREATE_DEVICE
export const KVM_DEV_TYPE_VFIO = 4;
export const KVM_CREATE_DEVICE_TEST = 1;

// The kvm-vfio device. Before Linux 6.6 the same numbers are spelled KVM_DEV_VFIO_GROUP, _ADD and _DEL.
export const KVM_DEV_VFIO_FILE = 1;
export const KVM_DEV_VFIO_FILE_ADD = 1;
export const KVM_DEV_VFIO_FILE_DEL = 2;

/** The only answer to VFIO_GET_API_VERSION that a program may accept. */
export const VFIO_API_VERSION = 0;

// VFIO_CHECK_EXTENSION and VFIO_SET_IOMMU
export const VFIO_TYPE1v2_IOMMU = 3;
export const VFIO_DMA_CC_IOMMU = 4;

// struct vfio_group_status.flags
export const VFIO_GROUP_FLAGS_VIABLE = 1 << 0;
export const VFIO_GROUP_FLAGS_CONTAINER_SET = 1 << 1;
