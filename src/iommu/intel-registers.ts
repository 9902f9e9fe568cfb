/** Bits of the VT-d Extended Capability Register that kvfio speaks of (Intel VT-d Specification, 11.4.3). */
const ECAP_BITS: readonly (readonly [bit: number, name: string])[] = [
  [0, 'C'],
  [1, 'QI'],
  [2, 'DT'],
  [3, 'IR'],
  [4, 'EIM'],
  [6, 'PT'],
  [7, 'SC'],
  [26, 'NEST'],
  [40, 'PASID'],
  [43, 'SMTS'],
  [46, 'SSTS'],
  [47, 'FSTS'],
];

/** Snoop Control. Not to be confused with bit 0, C, which is about the page tables' own accesses. */
export const ECAP_SC_BIT = 7;

/** Parses a register in hexadecimal, which intel-iommu prints without `0x`. Null when it is something else. */
export const parseRegister = (text: string): bigint | null => {
  const digits = /^(?:0x)?([0-9a-f]{1,16})$/i.exec(text)?.[1];
  return digits === undefined ? null : BigInt(`0x${digits}`);
};

export const hasBit = (register: bigint, bit: number): boolean => ((register >> BigInt(bit)) & 1n) === 1n;

/** Names of the known bits that are set, in register order. */
export const ecapFlags = (ecap: bigint): string[] =>
  ECAP_BITS.filter(([bit]) => hasBit(ecap, bit)).map(([, name]) => name);
