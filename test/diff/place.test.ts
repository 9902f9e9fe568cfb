import assert from 'node:assert/strict';
import {placeOf} from '../../src/diff/place.js';

describe('the place of a device', () => {
  const cases: [what: string, path: string, place: string][] = [
    ['a function of the root bus', 'pci0000:00/0000:00:1f.3', 'pci0000:00/1f.3'],
    ['one behind a port', 'pci0000:00/0000:00:1c.0/0000:05:00.1', 'pci0000:00/1c.0/00.1'],
    ['one of another root bus', 'pci0000:80/0000:80:01.0/0000:81:00.0', 'pci0000:80/01.0/00.0'],
    [
      'one behind a VMD, whose domain is made up',
      'pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0/10000:e1:00.0',
      'pci0000:00/0e.0/pci/06.0/00.0',
    ],
    [
      'one of a virtual root bus',
      'LNXSYSTM:00/VMBUS:00/47505500-0001/pcib1a3:00/b1a3:00:00.0',
      'LNXSYSTM:00/VMBUS:00/47505500-0001/pcib1a3:00/00.0',
    ],
    ['a device of another bus', 'platform/fd880000.usb', 'platform/fd880000.usb'],
    [
      'a mediated device',
      'pci0000:00/0000:00:02.0/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001',
      'pci0000:00/02.0/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001',
    ],
  ];
  for (const [what, path, place] of cases)
    it(`of ${what} is ${place}`, () => {
      assert.equal(placeOf(`/sys/devices/${path}`), place);
    });
});
