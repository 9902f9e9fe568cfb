import type {LabOptions} from '../../src/lab/lab.js';
import {dmarWithRegion} from './dmar-table.js';

/** A guest that has something which keeps VMs from a device. */
export interface OddGuest {
  /** What is odd about it. */
  with: string;
  options: Pick<LabOptions, 'parameters' | 'pci' | 'tables'>;
  /** What has to be done in it. */
  prepare: string;
}

/** Reserved in the memory map of QEMU's q35. The NIC behind port 3, which is bound to vfio-pci, has it. */
export const REGION: Omit<OddGuest, 'prepare'> = {
  with: 'a region of the firmware (RMRR)',
  options: {
    tables: {
      DMAR: dmarWithRegion(
        [
          [5, 0],
          [0, 0],
        ],
        {start: 0xfeffc000n, end: 0xfeffffffn},
      ),
    },
  },
};

/** A display that the firmware has left in a mode with a framebuffer, which no other driver takes. */
export const FRAMEBUFFER: OddGuest = {
  with: 'a framebuffer of the firmware',
  options: {
    pci: ['VGA,bus=pcie.0,addr=0x2'],
    parameters: ['vga=0x314', 'modprobe.blacklist=bochs,bochs_drm,bochs-drm'],
  },
  prepare: `
kvfio bind --device 0000:00:02.0 --force-display --force-console
`,
};

export const NVME =
  'nvme,subsys=sub,serial=1,sriov_max_vfs=2,max_ioqpairs=6,sriov_vq_flexible=4,sriov_vi_flexible=2';

/** An NVMe controller with virtual functions behind a port that does not isolate: all are in one group. */
export const SHARED_VFS: OddGuest = {
  with: 'an NVMe controller that shares its group with its virtual functions',
  options: {
    pci: [
      'pcie-root-port,id=p,bus=pcie.0,addr=0x3,chassis=1,slot=1,disable-acs=on',
      'nvme-subsys,id=sub',
      `${NVME},bus=p`,
    ],
  },
  prepare: `
echo 0 > /sys/bus/pci/devices/0000:01:00.0/sriov_drivers_autoprobe
echo 2 > /sys/bus/pci/devices/0000:01:00.0/sriov_numvfs
vf=$(basename $(readlink /sys/bus/pci/devices/0000:01:00.0/virtfn0))
echo vfio-pci > /sys/bus/pci/devices/$vf/driver_override
echo $vf > /sys/bus/pci/drivers_probe
`,
};
