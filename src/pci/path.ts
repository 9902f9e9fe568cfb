import {SyscallError} from '../linux/errno.js';
import type {Attributes} from '../host/attributes.js';
import {parsePciAddress} from './address.js';
import {readAcs, readPortType, type Acs, type PortType} from './config.js';

/** One function on the way from the root complex to a device. */
export interface Hop {
  address: string;
  /** Null when the configuration space does not show it. */
  port: PortType | null;
  /** Null when it has no ACS, or when that is unknown (see {@link acsKnown}). */
  acs: Acs | null;
  /** False when the extended configuration space is out of reach, which needs CAP_SYS_ADMIN. */
  acsKnown: boolean;
}

/** The hops from the root port to the device, the device included, from its folder under /sys/devices. */
export const readPath = (attributes: Attributes, path: string, seen: Map<string, Hop>): Hop[] => {
  const hops: Hop[] = [];
  for (let end = path.indexOf('/', '/sys/devices/'.length); end !== -1;) {
    const next = path.indexOf('/', end + 1);
    const address = path.slice(end + 1, next === -1 ? path.length : next);
    if (parsePciAddress(address) !== null)
      hops.push(readHop(attributes, path.slice(0, next === -1 ? path.length : next), seen));
    end = next;
  }
  return hops;
};

const readHop = (attributes: Attributes, path: string, seen: Map<string, Hop>): Hop => {
  const known = seen.get(path);
  if (known !== undefined) return known;
  const address = path.slice(path.lastIndexOf('/') + 1);
  const facts = attributes.tree.inspect(`${path}/config`, (at) => ({
    port: readPortType(at),
    acs: readAcs(at),
  }));
  const hop: Hop =
    facts instanceof SyscallError
      ? {address, port: null, acs: null, acsKnown: false}
      : {
          address,
          port: facts.port,
          acs: facts.acs === 'absent' ? null : facts.acs,
          acsKnown: facts.acs !== null,
        };
  seen.set(path, hop);
  return hop;
};

/** What the kernel asks of a port before it puts the devices behind it into groups of their own (drivers/iommu/iommu.c, REQ_ACS_FLAGS). */
const REQUIRED_ACS = ['SrcValid', 'ReqRedir', 'CmpltRedir', 'UpstreamFwd'];

/**
 * The required ACS flags that a port does not enable; null when its ACS is unknown.
 *
 * A flag that is not among a port's capabilities counts as hard-wired on (drivers/pci/pci.c, pci_acs_flags_enabled()).
 */
export const missingAcs = ({acs, acsKnown}: Hop): string[] | null => {
  if (!acsKnown) return null;
  if (acs === null) return REQUIRED_ACS;
  return REQUIRED_ACS.filter((flag) => acs.capabilities.includes(flag) && !acs.enabled.includes(flag));
};
