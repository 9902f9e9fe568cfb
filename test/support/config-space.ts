/** What a function's configuration space shows. Numbers are spelled as sysfs spells them, without `0x`. */
export interface ConfigSpec {
  vendor: string;
  device: string;
  /** Six hexadecimal digits. */
  classCode: string;
  subsystem?: readonly [vendor: string, device: string] | undefined;
  /** 0 normal, 1 bridge, 2 CardBus. */
  headerType?: number;
  /** Device/Port Type of the PCIe capability; null on conventional PCI. */
  pcie?: number | null;
  noSnoop?: boolean;
  /** Capability and Control register of ACS; null without it. */
  acs?: readonly [capability: number, control: number] | null;
  /** Device Serial Number; null without one. */
  dsn?: bigint | null;
  /** 64 as an ordinary user sees it, 256 on conventional PCI, 4096 with extended space. */
  size?: number;
}

export const PORT = {
  endpoint: 0x0,
  root: 0x4,
  upstream: 0x5,
  downstream: 0x6,
  toPci: 0x7,
  integrated: 0x9,
} as const;

/** Bytes of a configuration space: header, power management at 0x40, PCIe at 0x60, AER at 0x100, ACS at 0x148, DSN at 0x150. */
export const configSpace = (spec: ConfigSpec): Buffer => {
  const {headerType = 0, pcie = PORT.endpoint, acs = null, dsn = null, size = 4096} = spec;
  const bytes = Buffer.alloc(4096);
  bytes.writeUInt16LE(hex(spec.vendor), 0x00);
  bytes.writeUInt16LE(hex(spec.device), 0x02);
  bytes.writeUInt16LE(0x0010, 0x06);
  bytes.writeUIntLE(hex(spec.classCode), 0x09, 3);
  bytes.writeUInt8(headerType, 0x0e);
  if (spec.subsystem !== undefined && headerType === 0) {
    bytes.writeUInt16LE(hex(spec.subsystem[0]), 0x2c);
    bytes.writeUInt16LE(hex(spec.subsystem[1]), 0x2e);
  }
  // CardBus bridges keep the pointer elsewhere (include/uapi/linux/pci_regs.h, PCI_CB_CAPABILITY_LIST)
  bytes.writeUInt8(0x40, headerType === 2 ? 0x14 : 0x34);
  bytes.writeUInt16LE(pcie === null ? 0x0001 : 0x6001, 0x40);
  if (pcie !== null) {
    bytes.writeUInt16LE(0x0010, 0x60);
    bytes.writeUInt16LE((pcie << 4) | 2, 0x62);
    bytes.writeUInt16LE(0x2010 | (spec.noSnoop === false ? 0 : 0x0800), 0x68);
    const afterAcs = dsn === null ? 0 : 0x150 << 20;
    bytes.writeUInt32LE(0x0001_0001 | (acs === null ? afterAcs : 0x148 << 20), 0x100);
    if (dsn !== null) {
      bytes.writeUInt32LE(0x0001_0003, 0x150);
      bytes.writeBigUInt64LE(dsn, 0x154);
    }
    if (acs !== null) {
      bytes.writeUInt32LE(0x0001_000d | afterAcs, 0x148);
      bytes.writeUInt16LE(acs[0], 0x14c);
      bytes.writeUInt16LE(acs[1], 0x14e);
    }
  }
  return bytes.subarray(0, pcie === null ? Math.min(size, 256) : size);
};

const hex = (digits: string): number => Number.parseInt(digits, 16);
