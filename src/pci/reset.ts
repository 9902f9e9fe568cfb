/** A way in which the kernel resets a function, as `reset_method` names it. */
export interface ResetMethod {
  method: string;
  /** Whether it resets this function alone; null of a method that kvfio does not know. */
  leavesSiblingsAlone: boolean | null;
}

interface KnownMethod {
  leavesSiblingsAlone: boolean;
  /** Whether the function is as after power-on: what a return from D3hot leaves of its state is undefined (PCIe 6.0, 5.8). */
  isWhole: boolean;
}

/**
 * The methods of drivers/pci/pci.c, pci_reset_fn_methods[] (Linux 5.15 to 6.18). A secondary bus reset reaches every function on
 * the bus; the kernel makes one for a function only while no other is there (pci_parent_bus_reset(), pci_dev_reset_slot_function()),
 * and VFIO for a VM that has them all (VFIO_DEVICE_PCI_HOT_RESET).
 */
const METHODS: ReadonlyMap<string, KnownMethod> = new Map([
  // drivers/pci/quirks.c, pci_dev_reset_methods[]: each of one model of a function
  ['device_specific', {leavesSiblingsAlone: true, isWhole: true}],
  // drivers/pci/pci-acpi.c, pci_dev_acpi_reset(): _RST of the function
  ['acpi', {leavesSiblingsAlone: true, isWhole: true}],
  ['flr', {leavesSiblingsAlone: true, isWhole: true}],
  ['af_flr', {leavesSiblingsAlone: true, isWhole: true}],
  ['pm', {leavesSiblingsAlone: true, isWhole: false}],
  ['bus', {leavesSiblingsAlone: false, isWhole: true}],
  ['cxl_bus', {leavesSiblingsAlone: false, isWhole: true}],
]);

export const resetMethod = (method: string): ResetMethod => ({
  method,
  leavesSiblingsAlone: METHODS.get(method)?.leavesSiblingsAlone ?? null,
});

/** Whether a method resets one function, and all of it. */
export const isFunctionReset = (method: string): boolean => {
  const known = METHODS.get(method);
  return known !== undefined && known.leavesSiblingsAlone && known.isWhole;
};

/** Whether a method resets all functions on the bus. */
export const isBusReset = (method: string): boolean => METHODS.get(method)?.leavesSiblingsAlone === false;
