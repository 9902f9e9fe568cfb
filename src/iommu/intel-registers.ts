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

/** Parses a register as intel-iommu prints it: hexadecimal without a prefix. Null when it is something else. */
export const parseRegister = (text: string): bigint | null =>
  /^[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : null;

export const hasBit = (register: bigint, bit: number): boolean => ((register >> BigInt(bit)) & 1n) === 1n;

/** Names of the known bits that are set, in register order. */
export const ecapFlags = (ecap: bigint): string[] =>
  ECAP_BITS.filter(([bit]) => hasBit(ecap, bit)).map(([, name]) => name);
