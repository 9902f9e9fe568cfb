import {folderOf, pci, port, type DeviceSpec} from '../support/machine.js';

/**
 * The 200 devices of a server with two sockets, and their groups: devices of the chip set, root ports, eight NVMe drives behind two
 * switches, and two network adapters with two ports and 64 virtual functions each.
 */
export const server = (): Record<number, readonly DeviceSpec[]> => {
  const groups: DeviceSpec[][] = [];
  const alone = (device: DeviceSpec): DeviceSpec => {
    groups.push([device]);
    return device;
  };
  for (const [socket, unit] of ['dmar0', 'dmar1'].entries()) {
    const place = {unit, numa: socket};
    const bus = (number: number): string => (socket * 0x80 + number).toString(16).padStart(2, '0');
    for (let at = 0; at < 12; at += 1)
      alone(
        pci(`0000:${bus(0)}:${(at + 4).toString(16).padStart(2, '0')}.0`, {
          ...place,
          device: '2021',
          classCode: '088000',
          pcie: null,
        }),
      );
    groups.push(
      [0, 2, 3].map((fn) =>
        pci(`0000:${bus(0)}:1f.${fn}`, {
          ...place,
          device: 'a1c1',
          classCode: '060100',
          pcie: null,
          driver: fn === 0 ? null : 'lpc_ich',
        }),
      ),
    );
    const drives = alone(port(`0000:${bus(0)}:01.0`, place));
    const upstream = alone(port(`0000:${bus(1)}:00.0`, {...place, parent: folderOf(drives), pcie: 5}));
    for (let at = 0; at < 4; at += 1) {
      const downstream = alone(
        port(`0000:${bus(2)}:0${at}.0`, {...place, parent: folderOf(upstream), pcie: 6}),
      );
      alone(
        pci(`0000:${bus(3 + at)}:00.0`, {
          ...{...place, parent: folderOf(downstream), vendor: '144d', device: 'a808', classCode: '010802'},
          ...{driver: 'nvme', reset: 'flr bus'},
        }),
      );
    }
    const network = alone(port(`0000:${bus(0)}:02.0`, place));
    const physical = [0, 1].map((fn) =>
      alone(
        pci(`0000:${bus(0x10)}:00.${fn}`, {
          ...{...place, parent: folderOf(network), vendor: '15b3', device: '1017', driver: 'mlx5_core'},
          reset: 'flr bus',
        }),
      ),
    );
    for (const device of physical) device.files['sriov_numvfs'] = '32\n';
    for (let at = 0; at < 72; at += 1)
      alone(
        pci(`0000:${bus(0x10)}:${(1 + (at >> 3)).toString(16).padStart(2, '0')}.${at & 7}`, {
          ...{...place, parent: folderOf(network), vendor: '15b3', device: '1018', reset: 'flr'},
          ...{config: VIRTUAL, physfn: folderOf(physical[at & 1] ?? network)},
          driver: at < 16 ? 'vfio-pci' : 'mlx5_core',
        }),
      );
  }
  return Object.fromEntries(groups.entries());
};

/** The identifiers of a virtual function read all ones (SR-IOV, 9.3.4.1). */
const VIRTUAL = (() => {
  const bytes = Buffer.alloc(256);
  bytes.writeUInt32LE(0xffffffff, 0);
  return bytes;
})();
