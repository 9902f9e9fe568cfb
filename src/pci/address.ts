/** A PCI address as numbers. Domains have five digits and more behind Intel VMD. */
export interface PciAddress {
  domain: number;
  bus: number;
  device: number;
  function: number;
}

const FULL = /^([0-9a-f]{4,8}):([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$/i;

/** Parses `0000:01:00.0` as sysfs spells it; null for anything else. */
export const parsePciAddress = (text: string): PciAddress | null => {
  const match = FULL.exec(text);
  if (match === null) return null;
  const [, domain = '', bus = '', device = '', fn = ''] = match;
  return {domain: hex(domain), bus: hex(bus), device: hex(device), function: hex(fn)};
};

/** Completes what people type: `1:0.0` and `01:00.0` get domain 0000. Null when it is no PCI address. */
export const completePciAddress = (text: string): string | null => {
  const match = /^(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-7])$/i.exec(text);
  if (match === null) return null;
  const [, domain = '0', bus = '', device = '', fn = ''] = match;
  if (hex(device) > 0x1f) return null;
  return `${pad(domain, 4)}:${pad(bus, 2)}:${pad(device, 2)}.${fn}`.toLowerCase();
};

/** Orders device addresses: PCI by domain, bus, device and function, then everything else by name. */
export const compareAddresses = (a: string, b: string): number => {
  const [left, right] = [parsePciAddress(a), parsePciAddress(b)];
  if (left === null || right === null) {
    if (left !== null) return -1;
    if (right !== null) return 1;
    return a < b ? -1 : a > b ? 1 : 0;
  }
  return (
    left.domain - right.domain ||
    left.bus - right.bus ||
    left.device - right.device ||
    left.function - right.function
  );
};

const hex = (digits: string): number => Number.parseInt(digits, 16);
const pad = (digits: string, width: number): string => hex(digits).toString(16).padStart(width, '0');
