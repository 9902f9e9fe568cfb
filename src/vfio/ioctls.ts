import {Failure} from '../failure.js';
import {Descriptor, checked} from '../linux/descriptor.js';
import {
  SIZEOF_VFIO_GROUP_STATUS,
  VFIO_API_VERSION,
  VFIO_GROUP_FLAGS_CONTAINER_SET,
  VFIO_GROUP_FLAGS_VIABLE,
} from '../linux/ioctl.js';
import {O_RDWR, open} from '../linux/libc.js';

/** A VFIO container: an IOMMU address space, empty and without an IOMMU driver at first. */
export class VfioContainer extends Descriptor {
  /**
   * @throws {@link SyscallError} when it cannot be opened, or is not VFIO's (ENOTTY)
   * @throws {@link Failure} when the kernel speaks another version of the interface
   */
  static open(path = '/dev/vfio/vfio'): VfioContainer {
    return checked(new VfioContainer(open(path, O_RDWR), path), (container) => {
      const version = container.ioctl('VFIO_GET_API_VERSION');
      if (version === VFIO_API_VERSION) return;
      throw new Failure({
        code: 'VFIO_API_VERSION',
        kind: 'cannotDecide',
        what: `${path} cannot be used.`,
        why: `It speaks version ${version} of the VFIO interface, and kvfio speaks version ${VFIO_API_VERSION}.`,
        hint: 'Use a Linux kernel whose VFIO has this interface.',
      });
    });
  }

  /**
   * What VFIO says of an extension: 0 is no, a positive number is yes.
   *
   * VFIO_DMA_CC_IOMMU is a statement about the IOMMU domains behind the container. Before {@link setIommu} there
   * are none, and 0 then means unknown (vfio_iommu_type1_check_extension in drivers/vfio/vfio_iommu_type1.c).
   */
  checkExtension(extension: number): number {
    return this.ioctl('VFIO_CHECK_EXTENSION', extension);
  }

  /**
   * Selects the IOMMU driver, such as VFIO_TYPE1v2_IOMMU. A group must have been put in before.
   *
   * @throws {@link SyscallError}; EINVAL without a group or when it is set already, EPERM when interrupts of the
   * group's devices are not isolated
   */
  setIommu(type: number): void {
    this.ioctl('VFIO_SET_IOMMU', type);
  }
}

export interface VfioGroupStatus {
  /** Whether no device of the group is used by the host. */
  viable: boolean;
  containerSet: boolean;
}

/** An open VFIO group. Only one open of a group can exist at a time on a host. */
export class VfioGroup extends Descriptor {
  /**
   * @param path - `/dev/vfio/N`, or `/dev/vfio/noiommu-N`
   * @throws {@link SyscallError}; EBUSY when somebody has it open, EPERM for a noiommu group without CAP_SYS_RAWIO
   */
  static open(path: string): VfioGroup {
    return new VfioGroup(open(path, O_RDWR), path);
  }

  status(): VfioGroupStatus {
    const bytes = Buffer.alloc(SIZEOF_VFIO_GROUP_STATUS);
    bytes.writeUInt32LE(SIZEOF_VFIO_GROUP_STATUS, 0);
    this.ioctl('VFIO_GROUP_GET_STATUS', bytes);
    const flags = bytes.readUInt32LE(4);
    return {
      viable: (flags & VFIO_GROUP_FLAGS_VIABLE) !== 0,
      containerSet: (flags & VFIO_GROUP_FLAGS_CONTAINER_SET) !== 0,
    };
  }

  /**
   * Puts the group into a container, and all its devices into a blocking IOMMU domain until it leaves.
   *
   * @throws {@link SyscallError}; EPERM when the group is not viable, EINVAL when it is in a container already
   */
  setContainer(container: VfioContainer): void {
    const fd = Buffer.alloc(4);
    fd.writeInt32LE(container.fd);
    this.ioctl('VFIO_GROUP_SET_CONTAINER', fd);
  }

  /** @throws {@link SyscallError}; EINVAL when it is in none, EBUSY when a device of the group is open */
  unsetContainer(): void {
    this.ioctl('VFIO_GROUP_UNSET_CONTAINER');
  }
}
