import {Failure} from '../failure.js';

/** What sits on the guest's PCI buses. */
export interface Topology {
  /** QEMU's `-device` arguments, bridges before what is behind them. */
  devices: string[];
  /** Ports below `pcie.0` by address; what is behind them starts bound to vfio-pci where there is an IOMMU. */
  vfioPorts: string[];
  /** Name of the block node that holds the guest's disk, or null where no device can use one. */
  disk: string | null;
}

const DISK = 'disk';

/**
 * The default topology: each way in which an IOMMU group can look on a real machine.
 *
 * - An NVMe disk of the root complex has a group of its own, bound to its native driver. It is the one device that
 *   does DMA by itself, and amd-iommu (QEMU 7.2, amdvi_host_dma_iommu) translates only for bus 0: it notes a
 *   device's bus number before the firmware has given it one.
 * - Port 1 isolates (it has ACS), so the NIC behind it has a group of its own, bound to its native driver.
 * - Behind port 2 a switch without ACS: its downstream ports and three devices share one group, whose members'
 *   native drivers (xhci_hcd, ahci, e1000e) keep it from being viable. The ports are functions of one device,
 *   because Linux takes ports that are devices of their own for isolated (drivers/iommu/iommu.c,
 *   pci_device_group, 6.1 and 6.12).
 * - Port 3 has one NIC that is bound to vfio-pci from the start: a viable group to attach.
 * - Slot 1 is left to the PCI function of amd-iommu, which takes the first that is free.
 * - Beside them QEMU's q35 has the usual group of an ICH9: LPC bridge, SATA and SMBus as functions of one device.
 */
const DEFAULT: Topology = {
  devices: [
    `nvme,bus=pcie.0,addr=0x2,serial=kvfio-lab,drive=${DISK}`,

    'pcie-root-port,id=port1,bus=pcie.0,addr=0x3,chassis=1,slot=1',
    'e1000e,bus=port1',

    'pcie-root-port,id=port2,bus=pcie.0,addr=0x4,chassis=2,slot=2',
    'x3130-upstream,id=switch,bus=port2',
    'xio3130-downstream,id=switch1,bus=switch,addr=0x0.0,multifunction=on,chassis=3,slot=3',
    'e1000e,bus=switch1',
    'xio3130-downstream,id=switch2,bus=switch,addr=0x0.1,multifunction=on,chassis=4,slot=4',
    'qemu-xhci,bus=switch2',
    'xio3130-downstream,id=switch3,bus=switch,addr=0x0.2,multifunction=on,chassis=5,slot=5',
    'ahci,bus=switch3',

    'pcie-root-port,id=port3,bus=pcie.0,addr=0x5,chassis=6,slot=6',
    'e1000e,bus=port3',
  ],
  vfioPorts: ['0000:00:05.0'],
  disk: DISK,
};

/** The word that stands for a topology without devices in `--pci`. */
export const NO_DEVICES = 'none';

/**
 * The topology to build.
 *
 * @param own the user's own `-device` arguments, which replace the default and may use its disk; `['none']` leaves the buses
 * empty
 * @throws Failure for `none` beside others
 */
export const topology = (own: string[]): Topology => {
  if (own.length === 0) return DEFAULT;
  const devices = own.filter((device) => device !== NO_DEVICES);
  if (devices.length > 0 && devices.length < own.length) {
    throw new Failure({
      code: 'LAB_PCI',
      kind: 'usage',
      what: 'The command line was not understood.',
      why: `--pci ${NO_DEVICES} means no device at all, and other devices were named, too.`,
      hint: `Leave out --pci ${NO_DEVICES}, or the others.`,
    });
  }
  return {devices, vfioPorts: [], disk: own.includes(NO_DEVICES) ? null : DISK};
};
