/** What the links of KVM's descriptors in /proc/PID/fd read (kvm_dev_ioctl_create_vm and others in virt/kvm/kvm_main.c). */
export const KVM_VM = 'anon_inode:kvm-vm';
/** kvm_ioctl_create_device, by the name of the device's operations in virt/kvm/vfio.c. */
export const KVM_VFIO = 'anon_inode:kvm-vfio';
/** Followed by the number of the vCPU (create_vcpu_fd). */
export const KVM_VCPU = 'anon_inode:kvm-vcpu:';
