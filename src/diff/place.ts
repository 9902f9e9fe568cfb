import {parsePciAddress} from '../pci/address.js';

/**
 * Where a device is, from its folder under /sys/devices: `pci0000:00/1c.0/00.0`, by the slots that lead to it from the root bus. The
 * numbers of the buses between are left out, for they change when a bridge comes or goes elsewhere, and so is the domain that the
 * driver of a VMD makes up for what is behind it.
 */
export const placeOf = (path: string): string => {
  let behindFunction = false;
  return path
    .slice('/sys/devices/'.length)
    .split('/')
    .map((part) => {
      if (parsePciAddress(part) !== null) {
        behindFunction = true;
        return part.slice(part.lastIndexOf(':') + 1);
      }
      return behindFunction && ROOT_BUS.test(part) ? 'pci' : part;
    })
    .join('/');
};

const ROOT_BUS = /^pci[0-9a-f]{4,8}:[0-9a-f]{2}$/;
