/** Numbers of a device, and their names; null as in Device of iommu/device.ts. */
interface Named {
  vendorId: string | null;
  deviceId: string | null;
  classCode: string | null;
  vendor: string | null;
  device: string | null;
  class: string | null;
}

/** Vendor and device as lspci puts them, with numbers where pci.ids lacks names; null of a device that is no PCI function. */
export const productName = ({vendorId, deviceId, vendor, device}: Named): string | null => {
  if (vendorId === null) return null;
  return vendor === null
    ? `Device ${vendorId}:${deviceId ?? ''}`
    : `${vendor} ${device ?? `Device ${deviceId ?? ''}`}`;
};

/** The same after its class: `Ethernet controller: Intel Corporation Device 1234`. */
export const fullName = (device: Named): string | null => {
  const product = productName(device);
  if (product === null) return null;
  const {class: kind, classCode} = device;
  return `${kind ?? (classCode === null ? 'Device' : `Class ${classCode.slice(0, 4)}`)}: ${product}`;
};

/** The model alone, without its maker and class; null where only numbers are known. */
export const modelName = ({vendor, deviceId, device}: Named): string | null =>
  vendor === null || deviceId === null ? null : (device ?? `Device ${deviceId}`);
