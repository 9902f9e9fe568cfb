import {Failure} from '../../failure.js';
import type {HostTree} from '../../host/tree.js';
import {nearest} from '../../nearest.js';
import {listed} from '../../words.js';
import {completePciAddress} from '../address.js';
import {pathText, PciFunctions, type NamedFunction} from './functions.js';
import {numberedIds, SELECTOR_KINDS, type KindOfSelector, type SelectorKind} from './selector-kinds.js';

/** A device that the user named, and what that name meant. */
export interface SelectedDevice {
  /** As it was typed. */
  selector: string;
  /** What it was taken for; `name` is that of a device on another bus. */
  by: 'address' | 'name' | SelectorKind;
  /** Address of the device: its name on its bus. */
  address: string;
}

/**
 * Finds the one device that a text names: by its address, PCI path, interface, block device, serial number or ids. An address is
 * taken as it is, whether there is such a device or not.
 *
 * @param isElsewhere - whether a device of another bus has that name
 * @throws {@link Failure} for a text that names no device, or more than one, with what there is
 */
export const selectDevice = (
  tree: HostTree,
  text: string,
  isElsewhere: (name: string) => boolean = () => false,
): SelectedDevice => {
  // what udev calls ID_PATH
  const address = completePciAddress(text.replace(/^pci-/, ''));
  if (address !== null) return {selector: text, by: 'address', address};
  if (isElsewhere(text)) return {selector: text, by: 'name', address: text};
  const functions = new PciFunctions(tree);
  const kinds = SELECTOR_KINDS.filter(({fits}) => fits(text));
  const among = (some: readonly KindOfSelector[]): SelectedDevice[] =>
    some.flatMap(({kind, find}) =>
      find(text, functions).map((each) => ({selector: text, by: kind, address: each})),
    );
  const early = among(kinds.filter(({isLast = false}) => !isLast));
  const found = early.length > 0 ? early : among(kinds.filter(({isLast = false}) => isLast));
  const [first] = found;
  const addresses = [...new Set(found.map((each) => each.address))];
  if (first !== undefined && addresses.length === 1) return first;
  throw first === undefined ? noDevice(text, kinds, functions) : several(text, addresses, functions);
};

/** More than this nobody reads. */
const SHOWN = 8;

const shown = (named: readonly NamedFunction[]): string => {
  const texts = named.map(({name, address}) => `${name} (${address})`);
  const rest = texts.length - SHOWN;
  return rest > 1 ? `${texts.slice(0, SHOWN).join(', ')} and ${rest} more` : listed(texts);
};

const noDevice = (text: string, kinds: readonly KindOfSelector[], functions: PciFunctions): Failure => {
  const others = kinds
    .map(({what, others: there}) => ({what, named: there(text, functions)}))
    .filter(({named}) => named.length > 0);
  if (kinds.length === 0)
    return new Failure({
      code: 'USAGE',
      kind: 'usage',
      what: 'The command line was not understood.',
      why: `"${text}" is no address, PCI path, interface, block device, serial number or ids of a device.`,
      hint: 'Name it as lspci does: 0000:01:00.0, or 01:00.0.',
    });
  const near = nearest(
    text,
    others.flatMap(({named}) => named.map(({name}) => name)),
  );
  const isCapture = functions.tree.origin.kind === 'capture';
  return new Failure({
    code: 'DEVICE_NOT_FOUND',
    kind: 'notFound',
    what: `There is no device "${text}".`,
    why:
      others.length === 0
        ? isCapture
          ? 'A snapshot has no names of interfaces and block devices, and no serial numbers.'
          : 'No PCI device has an interface, a block device or a serial number of that name.'
        : `No PCI device has it among its ${listed(kinds.map(({what}) => what))}. There are ${others.map(({what, named}) => `${what} ${shown(named)}`).join('; ')}.${kinds.some(({kind}) => kind === 'interface') ? ' A device that VFIO has shows no interface and no block device.' : ''}`,
    hint:
      near !== undefined && near !== text
        ? `Did you mean "${near}"?`
        : 'Run "kvfio groups" to see the devices there are.',
  });
};

const several = (text: string, addresses: readonly string[], functions: PciFunctions): Failure => {
  const candidates = functions.all.filter(({address}) => addresses.includes(address));
  const numbers = numberedIds(functions, text);
  const example = numbers[0]?.name ?? addresses[0] ?? '';
  return new Failure({
    code: 'DEVICE_AMBIGUOUS',
    kind: 'usage',
    what: `"${text}" names ${addresses.length} devices, and kvfio takes one.`,
    why: `They are ${
      numbers.length > 0
        ? shown(numbers)
        : shown(candidates.map((each) => ({name: pathText(each), address: each.address})))
    }.`,
    hint: `Name one of them, such as ${example}.`,
  });
};
