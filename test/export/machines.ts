import {MACHINES} from '../fixtures/machines.js';
import {intel, machine, other, pci, REMAPPED, type Machine, type MachineSpec} from '../support/machine.js';

/** What a name may hold: quotes, a backslash, a line end, braces, hyphens, UTF-8, what steers a terminal, and what closes a comment. */
export const ODD = 'a"b\\c\nd{e}--f-->ü\u{1f600}\u001b[1m\u2028-';

/** A GPU with its audio function that a VM can have as it is, a NIC that it can have after binding, and one that it cannot have. */
export const GPU: MachineSpec = {
  interrupts: REMAPPED,
  units: {dmar0: intel('f050da'), dmar1: intel('f00f4a')},
  groups: {
    5: [
      pci('0000:01:00.0', {
        ...{vendor: '10de', device: '1b80', classCode: '030000', unit: 'dmar0', driver: 'vfio-pci', numa: 1},
      }),
      pci('0000:01:00.1', {
        ...{vendor: '10de', device: '10f0', classCode: '040300', unit: 'dmar0', driver: 'vfio-pci'},
      }),
    ],
    6: [pci('10000:e1:00.0', {unit: 'dmar1', driver: 'e1000e'})],
    7: [pci('0000:00:1f.0', {classCode: '060100', unit: 'dmar1'})],
  },
};

const ODD_NAMES: MachineSpec = {
  units: {dmar0: intel('f050da')},
  groups: {
    3: [
      other('platform', ODD, {unit: 'dmar0', driver: `drv${ODD}`, uevent: {OF_COMPATIBLE_0: 'x'}}),
      pci('0000:02:00.0', {unit: 'dmar0', driver: 'vfio-pci'}),
    ],
    4: [pci('0000:03:00.0', {unit: 'dmar0', driver: 'vfio-pci', vendor: 'beef', device: '0001'})],
  },
  pciIds: `beef  Quoted "A" & <B> -- \\C -->\n\t0001  Größe \u{1f600} \u001b[1m --\n`,
};

/** Machines with the oddities that a format has to stand, written out when they are asked for. */
export const oddMachines = function* (): Generator<[name: string, built: Machine]> {
  for (const [name, spec] of Object.entries({...MACHINES, GPU, 'odd names': ODD_NAMES}))
    yield [name, machine(spec)];
  yield ['bytes that are no UTF-8', withBytes()];
};

/** The driver's name, and a name in pci.ids, have bytes that are none. */
export const withBytes = (): Machine => {
  const built = machine({...GPU, pciIds: null});
  const bytes = Buffer.from(
    'PCI_SLOT_NAME=0000:01:00.0\nPCI_CLASS=30000\nPCI_ID=10DE:1B80\nDRIVER=n\xffme\xc3\n',
    'latin1',
  );
  built.write('sys/devices/pci0000:01/0000:01:00.0/uevent', bytes);
  built.write('usr/share/misc/pci.ids', Buffer.from('10de  NV\xff\xc3\n\t1b80  \xa0x\n', 'latin1'));
  return built;
};

/** A machine whose VFIO has nodes of groups, as most have, of cdevs, or of both. */
export const withNodes = (
  spec: MachineSpec,
  {groups = [], cdevs = []}: {groups?: readonly string[]; cdevs?: readonly string[]},
): Machine => {
  const built = machine(spec);
  for (const [at, group] of groups.entries()) built.write(`sys/class/vfio/${group}/dev`, `511:${at}\n`);
  for (const [at, name] of cdevs.entries()) built.write(`sys/class/vfio-dev/${name}/dev`, `510:${at}\n`);
  return built;
};
