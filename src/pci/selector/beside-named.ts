import {Failure} from '../../failure.js';
import type {HostTree} from '../../host/tree.js';
import {listed} from '../../words.js';
import {PciFunctions} from './functions.js';
import {blockName, isSameSerial} from './selector-kinds.js';
import type {SelectedDevice} from './select-device.js';

/**
 * Disks and interfaces that a function has beside the one that it was named by: who takes the function takes them, too. Where the
 * function itself was named, or its controller, nothing is beside that.
 */
export const besideNamed = (tree: HostTree, {selector, by, address}: SelectedDevice): string[] => {
  if (by !== 'interface' && by !== 'block-device' && by !== 'serial') return [];
  const functions = new PciFunctions(tree);
  const isHere = (each: {address: string}): boolean => each.address === address;
  const interfaces = functions.interfaces.filter(isHere).map(({name}) => name);
  const disks = functions.disks.filter(isHere);
  const block = by === 'block-device' ? blockName(selector, functions) : null;
  const named = {
    interface: () => [selector],
    'block-device': () => disks.filter(({name}) => name === block).map(({disk}) => disk),
    // that of an interface, which is not of the whole device
    serial: () => interfaces.filter((name) => isSameSerial(selector, functions.addressOf(name))),
  }[by]();
  const all = new Set([...disks.map(({disk}) => disk), ...interfaces]);
  return named.length === 0 ? [] : [...all].filter((name) => !named.includes(name));
};

/** @throws {@link Failure} for a function that has more than what it was named by, with what that is */
export const refuseMoreThanNamed = (tree: HostTree, selected: SelectedDevice): void => {
  const others = besideNamed(tree, selected);
  const {selector, address} = selected;
  if (others.length === 0) return;
  throw new Failure({
    code: 'DEVICE_HAS_MORE',
    kind: 'refused',
    what: `"${selector}" is only a part of ${address}, and kvfio takes whole devices.`,
    why: `${address} also has ${listed(others)}.`,
    hint: `Name the device ${address} to take all that it has.`,
  });
};
