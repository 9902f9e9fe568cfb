import {isAtLeast, type KernelVersion} from '../host/kernel-release.js';
import type {Device} from './device.js';
import {isPciBridge} from '../pci/class.js';

/** A member whose driver keeps VFIO from taking the group. */
export interface Blocker {
  address: string;
  driver: string;
}

/**
 * Drivers that leave DMA ownership of their device to others, beside those of VFIO
 * (struct device_driver.driver_managed_dma): they do not stand in VFIO's way.
 */
const MANAGED_DMA_DRIVERS = new Set(['pci-stub', 'pcieport', 'fsl-pci']);

/**
 * The members that keep VFIO from taking the group.
 *
 * A prediction from drivers' names: since 5.19 the kernel counts owners of the group's DMA, which it does not
 * show (drivers/iommu/iommu.c, iommu_group_claim_dma_owner); before, it compared driver names and accepted
 * every bridge (drivers/vfio/vfio.c, vfio_dev_viable). VFIO_GROUP_GET_STATUS is the last word.
 */
export const blockers = (devices: readonly Device[], version: KernelVersion | null): Blocker[] =>
  devices.flatMap((device) => {
    const {address, driver} = device;
    if (driver === null || device.boundToVfio) return [];
    const accepted =
      version === null || isAtLeast(version, 5, 19)
        ? MANAGED_DMA_DRIVERS.has(driver)
        : driver === 'pci-stub' || isPciBridge(device.classCode);
    return accepted ? [] : [{address, driver}];
  });
