import assert from 'node:assert/strict';
import {existsSync} from 'node:fs';
import {KVM_EXITS} from '../../src/kvm/exits.js';
import * as uapi from '../../src/linux/ioctl.js';
import {valuesOfC} from '../support/c-values.js';
import {needs} from '../support/needs.js';
import {skip} from '../support/skip.js';

/** From the kernel's headers, by a C program such as that of valuesOfC, on x86-64. */
const NUMBERS: Record<uapi.IoctlName, number> = {
  KVM_GET_API_VERSION: 0xae00,
  KVM_CREATE_VM: 0xae01,
  KVM_CHECK_EXTENSION: 0xae03,
  KVM_GET_VCPU_MMAP_SIZE: 0xae04,
  KVM_GET_SUPPORTED_CPUID: 0xc008ae05,
  KVM_CREATE_VCPU: 0xae41,
  KVM_SET_USER_MEMORY_REGION: 0x4020ae46,
  KVM_SET_TSS_ADDR: 0xae47,
  KVM_IOEVENTFD: 0x4040ae79,
  KVM_RUN: 0xae80,
  KVM_GET_REGS: 0x8090ae81,
  KVM_SET_REGS: 0x4090ae82,
  KVM_GET_SREGS: 0x8138ae83,
  KVM_SET_SREGS: 0x4138ae84,
  KVM_SET_CPUID2: 0x4008ae90,
  KVM_GET_TSC_KHZ: 0xaea3,
  KVM_GET_STATS_FD: 0xaece,
  KVM_CREATE_DEVICE: 0xc00caee0,
  KVM_SET_DEVICE_ATTR: 0x4018aee1,
  KVM_GET_DEVICE_ATTR: 0x4018aee2,
  KVM_HAS_DEVICE_ATTR: 0x4018aee3,
  VFIO_GET_API_VERSION: 0x3b64,
  VFIO_CHECK_EXTENSION: 0x3b65,
  VFIO_SET_IOMMU: 0x3b66,
  VFIO_GROUP_GET_STATUS: 0x3b67,
  VFIO_GROUP_SET_CONTAINER: 0x3b68,
  VFIO_GROUP_UNSET_CONTAINER: 0x3b69,
};

const CONSTANTS = {
  KVM_API_VERSION: 12,
  KVM_DEV_TYPE_VFIO: 4,
  KVM_CREATE_DEVICE_TEST: 1,
  KVM_DEV_VFIO_FILE: 1,
  KVM_DEV_VFIO_FILE_ADD: 1,
  KVM_DEV_VFIO_FILE_DEL: 2,
  KVM_IOEVENTFD_FLAG_PIO: 2,
  VFIO_API_VERSION: 0,
  VFIO_TYPE1v2_IOMMU: 3,
  VFIO_DMA_CC_IOMMU: 4,
  VFIO_GROUP_FLAGS_VIABLE: 1,
  VFIO_GROUP_FLAGS_CONTAINER_SET: 2,
} as const;

/** C expressions, and what this layer writes into or reads from those places. */
const LAYOUTS = {
  'sizeof(struct kvm_create_device)': uapi.SIZEOF_KVM_CREATE_DEVICE,
  'offsetof(struct kvm_create_device, type)': 0,
  'offsetof(struct kvm_create_device, fd)': 4,
  'offsetof(struct kvm_create_device, flags)': 8,
  'sizeof(struct kvm_device_attr)': uapi.SIZEOF_KVM_DEVICE_ATTR,
  'offsetof(struct kvm_device_attr, group)': 4,
  'offsetof(struct kvm_device_attr, attr)': 8,
  'offsetof(struct kvm_device_attr, addr)': 16,
  'sizeof(struct kvm_userspace_memory_region)': uapi.SIZEOF_KVM_USERSPACE_MEMORY_REGION,
  'offsetof(struct kvm_userspace_memory_region, memory_size)': 16,
  'offsetof(struct kvm_userspace_memory_region, userspace_addr)': 24,
  'sizeof(struct kvm_ioeventfd)': uapi.SIZEOF_KVM_IOEVENTFD,
  'offsetof(struct kvm_ioeventfd, addr)': 8,
  'offsetof(struct kvm_ioeventfd, len)': 16,
  'offsetof(struct kvm_ioeventfd, fd)': 20,
  'offsetof(struct kvm_ioeventfd, flags)': 24,
  'sizeof(struct kvm_cpuid2)': uapi.SIZEOF_KVM_CPUID2,
  'sizeof(struct kvm_cpuid_entry2)': uapi.SIZEOF_KVM_CPUID_ENTRY2,
  'offsetof(struct kvm_cpuid_entry2, ebx)': 16,
  'sizeof(struct kvm_regs)': uapi.SIZEOF_KVM_REGS,
  'offsetof(struct kvm_regs, rip)': 128,
  'sizeof(struct kvm_sregs)': uapi.SIZEOF_KVM_SREGS,
  'offsetof(struct kvm_sregs, ss)': 120,
  'offsetof(struct kvm_sregs, tr)': 144,
  'offsetof(struct kvm_sregs, cr0)': 224,
  'offsetof(struct kvm_sregs, cr3)': 240,
  'offsetof(struct kvm_sregs, cr4)': 248,
  'offsetof(struct kvm_sregs, efer)': 264,
  'offsetof(struct kvm_segment, type)': 14,
  'offsetof(struct kvm_segment, l)': 19,
  'offsetof(struct kvm_run, exit_reason)': 8,
  'offsetof(struct kvm_run, io)': 32,
  'offsetof(struct kvm_run, io.port)': 34,
  'offsetof(struct kvm_run, internal.suberror)': 32,
  'offsetof(struct kvm_run, fail_entry.hardware_entry_failure_reason)': 32,
  'sizeof(struct kvm_stats_header)': 24,
  'sizeof(struct kvm_stats_desc)': 16,
  'offsetof(struct kvm_stats_desc, size)': 6,
  'offsetof(struct kvm_stats_desc, offset)': 8,
  'sizeof(struct vfio_group_status)': uapi.SIZEOF_VFIO_GROUP_STATUS,
  'offsetof(struct vfio_group_status, argsz)': 0,
  'offsetof(struct vfio_group_status, flags)': 4,
};

describe('the table of ioctl numbers', () => {
  it('has the numbers that the kernel answers to', () => {
    assert.deepEqual({...uapi.IOCTLS}, NUMBERS);
  });

  it('has the constants of the kernel', () => {
    for (const [name, value] of Object.entries(CONSTANTS)) {
      assert.equal(uapi[name as keyof typeof CONSTANTS], value, name);
    }
  });

  it('agrees with the headers of this machine', function () {
    needs(this, 'cc');
    for (const header of ['/usr/include/linux/kvm.h', '/usr/include/linux/vfio.h'])
      if (!existsSync(header)) skip(this, `there is no ${header} (package linux-libc-dev)`);
    const expected = {...uapi.IOCTLS, ...CONSTANTS, ...KVM_EXITS, ...LAYOUTS};
    assert.deepEqual(valuesOfC(HEADERS, Object.keys(expected)), Object.values(expected));
  });
});

/** The kernel's headers, with the newer names where they are older. */
const HEADERS = `
#include <stddef.h>
#include <linux/kvm.h>
#include <linux/vfio.h>
#ifndef KVM_DEV_VFIO_FILE /* headers older than 6.6 */
#define KVM_DEV_VFIO_FILE KVM_DEV_VFIO_GROUP
#define KVM_DEV_VFIO_FILE_ADD KVM_DEV_VFIO_GROUP_ADD
#define KVM_DEV_VFIO_FILE_DEL KVM_DEV_VFIO_GROUP_DEL
#endif
#ifndef KVM_EXIT_MEMORY_FAULT /* headers older than 6.8 */
#define KVM_EXIT_MEMORY_FAULT 39
#endif
`;
