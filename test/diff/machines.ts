import {machineDifference, type Difference} from '../../src/diff/difference.js';
import {readCompared, type ComparedMachine} from '../../src/diff/machine.js';
import {openTree} from '../../src/host/open-tree.js';
import {
  folderOf,
  intel,
  machine,
  pci,
  port,
  type DeviceSpec,
  type MachineSpec,
  type PciOptions,
} from '../support/machine.js';

/** Reads a machine as `kvfio diff` does. */
export const compared = (spec: MachineSpec): ComparedMachine => {
  using built = machine(spec);
  return readCompared(openTree(built.root), {serials: true, names: false});
};

export const difference = (a: MachineSpec, b: MachineSpec): Difference =>
  machineDifference(compared(a), compared(b));

/** What a card is, beside its place. */
export type Card = PciOptions;

/**
 * A machine with a card in each slot that is named, each behind a port of its own. Buses have their numbers in the order of slots, as
 * firmware gives them, and groups in the order of devices.
 */
export const withCards = (cards: Readonly<Record<number, Card>>, rest: MachineSpec = {}): MachineSpec => {
  const groups: Record<number, DeviceSpec[]> = {};
  for (const [at, [slot, card]] of Object.entries(cards).entries()) {
    const root = port(`0000:00:${hex(Number(slot))}.0`, {unit: 'dmar0'});
    groups[2 * at] = [root];
    groups[2 * at + 1] = [
      pci(`0000:${hex(at + 1)}:00.0`, {
        parent: folderOf(root),
        unit: 'dmar0',
        driver: 'e1000e',
        ...card,
      }),
    ];
  }
  return {units: {dmar0: intel('f050da')}, groups, ...rest};
};

const hex = (value: number): string => value.toString(16).padStart(2, '0');

/** State of each device that differs, with its addresses: `moved 0000:01:00.0 0000:02:00.0`. */
export const states = ({devices}: Difference): string[] =>
  devices.map(({state, a, b}) => [state, a?.address, b?.address].filter(Boolean).join(' '));
