import type {ReadAt} from '../host/tree.js';

/** What the Enable No Snoop bit of a function says; `unknown` always comes with a reason. */
export interface NoSnoop {
  /** `enabled`: the function is permitted to send No-Snoop requests; whether it does is its own affair. */
  state: 'enabled' | 'disabled' | 'not-applicable' | 'unknown';
  /** Why the bit is unknown or does not exist; null when it was read. */
  reason: string | null;
}

/** Whether a function answered with all ones where it has to answer with something else. */
export const isSilent = ({reason}: NoSnoop): boolean => reason === ASLEEP;

/** Access Control Services of a port or function: which checks it has and which are on. */
export interface Acs {
  /** Short names as lspci prints them, such as `SrcValid`. */
  capabilities: string[];
  enabled: string[];
}

/**
 * Reads Device Control bit 11, Enable No Snoop (PCIe Base Specification, PCI Express Capability).
 *
 * Only the registers that lead there are read: some functions hang when undefined parts of their configuration
 * space are touched. Without CAP_SYS_ADMIN the kernel shows 64 bytes (drivers/pci/pci-sysfs.c, pci_read_config).
 */
export const readNoSnoop = (at: ReadAt): NoSnoop => {
  const found = findCapability(at, PCI_CAP_ID_EXP);
  if (typeof found === 'string') return {state: 'unknown', reason: found};
  if (found === null) return {state: 'not-applicable', reason: 'conventional PCI has no No-Snoop requests'};
  const control = at(found + PCI_EXP_DEVCTL, 2);
  if (control.length < 2) return {state: 'unknown', reason: PRIVILEGE};
  const value = control.readUInt16LE();
  if (value === 0xffff) return {state: 'unknown', reason: ASLEEP};
  return {state: value & PCI_EXP_DEVCTL_NOSNOOP_EN ? 'enabled' : 'disabled', reason: null};
};

/** A function's place in the PCIe hierarchy (PCIe Base Specification, 7.5.3.2, Device/Port Type). */
export type PortType =
  | 'endpoint'
  | 'legacy endpoint'
  | 'root port'
  | 'upstream switch port'
  | 'downstream switch port'
  | 'PCIe-to-PCI bridge'
  | 'PCI-to-PCIe bridge'
  | 'root complex endpoint'
  | 'root complex event collector';

/** The function's place in the PCIe hierarchy; null on conventional PCI and when it cannot be read. */
export const readPortType = (at: ReadAt): PortType | null => {
  const found = findCapability(at, PCI_CAP_ID_EXP);
  if (typeof found !== 'number') return null;
  const flags = at(found + PCI_EXP_FLAGS, 2);
  return flags.length < 2 ? null : (PORT_TYPES.get((flags.readUInt16LE() >> 4) & 0xf) ?? null);
};

/**
 * Reads the ACS extended capability (PCIe Base Specification, Access Control Services).
 *
 * @returns the flags, `'absent'`, or null when the extended configuration space is out of reach
 */
export const readAcs = (at: ReadAt): Acs | 'absent' | null => {
  const found = findExtendedCapability(at, PCI_EXT_CAP_ID_ACS);
  if (typeof found !== 'number') return found;
  const registers = at(found + 4, 4);
  if (registers.length < 4) return null;
  return {
    capabilities: acsNames(registers.readUInt16LE(0)),
    enabled: acsNames(registers.readUInt16LE(2)),
  };
};

/**
 * Reads the Device Serial Number (drivers/pci/pci.c, pci_get_dsn()), which all functions of a device share, as lspci prints it.
 *
 * @returns null when there is none, it says nothing (all zeros or ones), or the extended configuration space is out of reach
 */
export const readSerialNumber = (at: ReadAt): string | null => {
  const found = findExtendedCapability(at, PCI_EXT_CAP_ID_DSN);
  if (typeof found !== 'number') return null;
  const digits = [...at(found + 4, 8)].reverse().map((byte) => byte.toString(16).padStart(2, '0'));
  const isBlank = ['00', 'ff'].some((blank) => digits.every((byte) => byte === blank));
  return digits.length < 8 || isBlank ? null : digits.join('-');
};

// include/uapi/linux/pci_regs.h
const PCI_STATUS = 0x06;
const PCI_STATUS_CAP_LIST = 0x10;
const PCI_HEADER_TYPE = 0x0e;
const PCI_HEADER_TYPE_CARDBUS = 2;
const PCI_CB_CAPABILITY_LIST = 0x14;
const PCI_CAPABILITY_LIST = 0x34;
const PCI_CAP_ID_EXP = 0x10;
const PCI_EXP_FLAGS = 0x02;
const PCI_EXP_DEVCTL = 0x08;
const PCI_EXP_DEVCTL_NOSNOOP_EN = 0x0800;
const PCI_EXT_CAP_START = 0x100;
const PCI_EXT_CAP_ID_DSN = 0x03;
const PCI_EXT_CAP_ID_ACS = 0x0d;

const PORT_TYPES = new Map<number, PortType>([
  [0x0, 'endpoint'],
  [0x1, 'legacy endpoint'],
  [0x4, 'root port'],
  [0x5, 'upstream switch port'],
  [0x6, 'downstream switch port'],
  [0x7, 'PCIe-to-PCI bridge'],
  [0x8, 'PCI-to-PCIe bridge'],
  [0x9, 'root complex endpoint'],
  [0xa, 'root complex event collector'],
]);

/** ACS bits in register order, spelled as lspci spells them. */
const ACS_FLAGS = [
  'SrcValid',
  'TransBlk',
  'ReqRedir',
  'CmpltRedir',
  'UpstreamFwd',
  'EgressCtrl',
  'DirectTrans',
];

/** A list longer than this is a loop: 48 capabilities fill the 192 bytes there are (drivers/pci/pci.c). */
const MAX_HOPS = 48;
const MAX_EXTENDED_HOPS = (4096 - 256) / 8;

/** What reads get for a function that does not answer. */
const ALL_ONES = 0xffffffff;

const PRIVILEGE = 'the kernel shows only 64 bytes of configuration space without CAP_SYS_ADMIN';
const ASLEEP = 'the device answers with all ones: it is powered down or gone';

const acsNames = (bits: number): string[] => ACS_FLAGS.filter((_, bit) => bits & (1 << bit));

/** Offset of a capability, null when the function has none, or the reason why that is unknown. */
const findCapability = (at: ReadAt, id: number): number | null | string => {
  const header = at(0, 64);
  if (header.length < 64) return 'its configuration space is shorter than a PCI header';
  if (header.readUInt32LE(0) === ALL_ONES) return ASLEEP;
  if (!(header.readUInt16LE(PCI_STATUS) & PCI_STATUS_CAP_LIST)) return null;
  const isCardBus = (header.readUInt8(PCI_HEADER_TYPE) & 0x7f) === PCI_HEADER_TYPE_CARDBUS;
  let offset = header.readUInt8(isCardBus ? PCI_CB_CAPABILITY_LIST : PCI_CAPABILITY_LIST) & 0xfc;
  for (let hop = 0; hop < MAX_HOPS; hop++) {
    if (offset < 0x40) return null;
    const entry = at(offset, 2);
    if (entry.length < 2) return PRIVILEGE;
    if (entry.readUInt8(0) === 0xff) return ASLEEP;
    if (entry.readUInt8(0) === id) return offset;
    offset = entry.readUInt8(1) & 0xfc;
  }
  return 'its capability list runs in a circle';
};

/** Offset of an extended capability, or null when the extended configuration space is out of reach. */
const findExtendedCapability = (at: ReadAt, id: number): number | 'absent' | null => {
  let offset = PCI_EXT_CAP_START;
  for (let hop = 0; hop < MAX_EXTENDED_HOPS && offset >= PCI_EXT_CAP_START; hop++) {
    const header = at(offset, 4);
    const value = header.length < 4 ? ALL_ONES : header.readUInt32LE();
    // nothing there: either there is no extended space, or it is hidden just as the ordinary capabilities are
    if (value === ALL_ONES) return typeof findCapability(at, PCI_CAP_ID_EXP) === 'string' ? null : 'absent';
    if (value === 0) return 'absent';
    if ((value & 0xffff) === id) return offset;
    offset = (value >>> 20) & 0xffc;
  }
  return 'absent';
};
