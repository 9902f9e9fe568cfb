import {SyscallError} from '../linux/errno.js';
import type {HostTree, ReadAt} from '../host/tree.js';

export const ACPI_TABLES = '/sys/firmware/acpi/tables';

/** Bytes of a table of the firmware; null where there is none, as on a machine of a device tree. Only root may read one. */
export const readAcpiTable = (tree: HostTree, signature: string): Buffer | SyscallError | null => {
  const names = tree.list(ACPI_TABLES);
  if (names instanceof SyscallError) return names.code === 'ENOENT' ? null : names;
  return names.includes(signature) ? tree.inspect(`${ACPI_TABLES}/${signature}`, whole) : null;
};

const whole = (at: ReadAt): Buffer => {
  const parts: Buffer[] = [];
  for (let offset = 0; offset < LIMIT;) {
    const part = at(offset, PART);
    if (part.length === 0) break;
    parts.push(Buffer.from(part));
    offset += part.length;
  }
  return Buffer.concat(parts);
};

const PART = 4096;
const LIMIT = 1024 * 1024;

/** Tables by signature, each read once: every unit asks for the same. */
export type AcpiTables = (signature: string) => ReturnType<typeof readAcpiTable>;

export const acpiTables = (tree: HostTree): AcpiTables => {
  const read = new Map<string, ReturnType<typeof readAcpiTable>>();
  return (signature) => {
    const known = read.get(signature);
    if (known !== undefined) return known;
    const table = readAcpiTable(tree, signature);
    read.set(signature, table);
    return table;
  };
};

/** Whether a host bridge's memory accesses can be made coherent, of those whose devices one SMMUv3 serves. */
export type Canwbs = 'all' | 'none' | 'some';

/**
 * CANWBS of the root complexes behind the SMMUv3 at `base` (drivers/acpi/arm64/iort.c, iort_pci_rc_supports_canwbs(), since 6.13;
 * IORT, Arm DEN 0049, E.f); null when the table says nothing of it.
 */
export const canwbsBehind = (iort: Buffer, base: bigint): Canwbs | null => {
  const nodes = iortNodes(iort);
  const unit = nodes.find(({type, at}) => type === SMMU_V3 && iort.readBigUInt64LE(at + 16) === base);
  if (unit === undefined) return null;
  const flags = nodes
    .filter(({type, at}) => type === ROOT_COMPLEX && targetsOf(iort, at).includes(unit.at))
    .map(({at}) => (iort.readUInt8(at + 23) & CANWBS) !== 0);
  if (flags.length === 0 || !flags.includes(true)) return 'none';
  return flags.includes(false) ? 'some' : 'all';
};

const ROOT_COMPLEX = 2;
const SMMU_V3 = 4;
const CANWBS = 1 << 2;

/** Nodes that lie in the table whole, with what is read of them. */
const iortNodes = (iort: Buffer): {type: number; at: number}[] => {
  if (iort.length < 48) return [];
  const nodes: {type: number; at: number}[] = [];
  let at = iort.readUInt32LE(40);
  for (let left = iort.readUInt32LE(36); left > 0 && at + 24 <= iort.length; left -= 1) {
    const length = iort.readUInt16LE(at + 1);
    if (length < 16) break;
    nodes.push({type: iort.readUInt8(at), at});
    at += length;
  }
  return nodes;
};

/** Nodes that the ids of a node are mapped to: each mapping has 20 bytes, the target at 12. */
const targetsOf = (iort: Buffer, at: number): number[] => {
  const [count, offset] = [iort.readUInt32LE(at + 8), iort.readUInt32LE(at + 12)];
  const targets: number[] = [];
  for (let each = 0; each < count; each += 1) {
    const field = at + offset + 20 * each + 12;
    if (field + 4 > iort.length) break;
    targets.push(iort.readUInt32LE(field));
  }
  return targets;
};

/**
 * Whether firmware says that AMD's units cannot translate host addresses by page tables of version 1, so that the kernel takes those
 * of version 2 (HATDis; drivers/iommu/amd/init.c, init_iommu_one(), since 6.17). It is bit 0 of the attributes of an IVHD of type
 * 11h or 40h, which one unit sets for all.
 */
export const hasNoHostTables = (ivrs: Buffer): boolean => {
  for (let at = 48; at + 24 <= ivrs.length;) {
    const length = ivrs.readUInt16LE(at + 2);
    if (length < 4) break;
    if ([0x11, 0x40].includes(ivrs.readUInt8(at)) && (ivrs.readUInt32LE(at + 20) & 1) !== 0) return true;
    at += length;
  }
  return false;
};
