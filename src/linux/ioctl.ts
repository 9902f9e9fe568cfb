/**
 * Numbers of the ioctls that kvfio makes, and the constants of their arguments, in the kernel's spelling.
 *
 * Sources: include/uapi/asm-generic/ioctl.h, include/uapi/linux/kvm.h, include/uapi/linux/vfio.h.
 */

// x86 and arm64 use the generic layout of a request: direction 2 bits, size 14, type 8, number 8.
const ioc = (direction: number, type: number, nr: number, size: number): number =>
  ((direction << 30) | (size << 16) | (type << 8) | nr) >>> 0;
const _IO = (type: number, nr: number): number => ioc(0, type, nr, 0);
const _IOR = (type: number, nr: number, size: number): number => ioc(2, type, nr, size);
const _IOW = (type: number, nr: number, size: number): number => ioc(1, type, nr, size);
const _IOWR = (type: number, nr: number, size: number): number => ioc(3, type, nr, size);

const KVMIO = 0xae;
const VFIO_TYPE = 0x3b;
const VFIO_BASE = 100;

/** `struct kvm_create_device`: u32 type, u32 fd (out), u32 flags. */
export const SIZEOF_KVM_CREATE_DEVICE = 12;
/** `struct kvm_device_attr`: u32 flags, u32 group, u64 attr, u64 addr. */
export const SIZEOF_KVM_DEVICE_ATTR = 24;
/** `struct kvm_userspace_memory_region`: u32 slot, u32 flags, u64 guest_phys_addr, u64 memory_size, u64 userspace_addr. */
export const SIZEOF_KVM_USERSPACE_MEMORY_REGION = 32;
/** `struct kvm_ioeventfd`: u64 datamatch, u64 addr, u32 len, s32 fd, u32 flags, u8 pad[36]. */
export const SIZEOF_KVM_IOEVENTFD = 64;
/** `struct kvm_cpuid2` without its entries: u32 nent, u32 padding. */
export const SIZEOF_KVM_CPUID2 = 8;
/** `struct kvm_cpuid_entry2`: u32 function, index, flags, eax, ebx, ecx, edx, padding[3]. */
export const SIZEOF_KVM_CPUID_ENTRY2 = 40;
/** `struct kvm_regs`: u64 rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8 to r15, rip, rflags. */
export const SIZEOF_KVM_REGS = 144;
/** `struct kvm_sregs`, see kvm/long-mode.ts. */
export const SIZEOF_KVM_SREGS = 312;
/** `struct vfio_group_status`: u32 argsz, u32 flags (out). */
export const SIZEOF_VFIO_GROUP_STATUS = 8;

export const IOCTLS = {
  // for /dev/kvm
  KVM_GET_API_VERSION: _IO(KVMIO, 0x00),
  KVM_CREATE_VM: _IO(KVMIO, 0x01),
  KVM_CHECK_EXTENSION: _IO(KVMIO, 0x03),
  KVM_GET_VCPU_MMAP_SIZE: _IO(KVMIO, 0x04),
  KVM_GET_SUPPORTED_CPUID: _IOWR(KVMIO, 0x05, SIZEOF_KVM_CPUID2),

  // for VM descriptors
  KVM_CREATE_VCPU: _IO(KVMIO, 0x41),
  KVM_SET_USER_MEMORY_REGION: _IOW(KVMIO, 0x46, SIZEOF_KVM_USERSPACE_MEMORY_REGION),
  KVM_SET_TSS_ADDR: _IO(KVMIO, 0x47),
  KVM_IOEVENTFD: _IOW(KVMIO, 0x79, SIZEOF_KVM_IOEVENTFD),
  KVM_CREATE_DEVICE: _IOWR(KVMIO, 0xe0, SIZEOF_KVM_CREATE_DEVICE),

  // for vCPU descriptors
  KVM_RUN: _IO(KVMIO, 0x80),
  KVM_GET_REGS: _IOR(KVMIO, 0x81, SIZEOF_KVM_REGS),
  KVM_SET_REGS: _IOW(KVMIO, 0x82, SIZEOF_KVM_REGS),
  KVM_GET_SREGS: _IOR(KVMIO, 0x83, SIZEOF_KVM_SREGS),
  KVM_SET_SREGS: _IOW(KVMIO, 0x84, SIZEOF_KVM_SREGS),
  KVM_SET_CPUID2: _IOW(KVMIO, 0x90, SIZEOF_KVM_CPUID2),
  KVM_GET_TSC_KHZ: _IO(KVMIO, 0xa3),
  KVM_GET_STATS_FD: _IO(KVMIO, 0xce),

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

// KVM_CREATE_DEVICE
export const KVM_DEV_TYPE_VFIO = 4;
export const KVM_CREATE_DEVICE_TEST = 1;

// The kvm-vfio device. Before Linux 6.6 the same numbers are spelled KVM_DEV_VFIO_GROUP, _ADD and _DEL.
export const KVM_DEV_VFIO_FILE = 1;
export const KVM_DEV_VFIO_FILE_ADD = 1;
export const KVM_DEV_VFIO_FILE_DEL = 2;

// struct kvm_ioeventfd.flags
export const KVM_IOEVENTFD_FLAG_PIO = 1 << 1;

/** The only answer to VFIO_GET_API_VERSION that a program may accept. */
export const VFIO_API_VERSION = 0;

// VFIO_CHECK_EXTENSION and VFIO_SET_IOMMU
export const VFIO_TYPE1v2_IOMMU = 3;
export const VFIO_DMA_CC_IOMMU = 4;

// struct vfio_group_status.flags
export const VFIO_GROUP_FLAGS_VIABLE = 1 << 0;
export const VFIO_GROUP_FLAGS_CONTAINER_SET = 1 << 1;
