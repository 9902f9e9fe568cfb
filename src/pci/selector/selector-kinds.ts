import {completePciAddress} from '../address.js';
import {
  chainOf,
  pathText,
  slotOf,
  type NamedFunction,
  type PciFunction,
  type PciFunctions,
} from './functions.js';

export type SelectorKind = 'path' | 'ids' | 'interface' | 'block-device' | 'serial';

/** One way to name a PCI function. */
export interface KindOfSelector {
  kind: SelectorKind;
  /** What people call it, in the plural. */
  what: string;
  /** Whether a text can be such a name. */
  fits: (text: string) => boolean;
  /** Addresses of the functions of that name. */
  find: (text: string, functions: PciFunctions) => string[];
  /** Looked for only where a text is nothing else: to read serial numbers wakes devices. */
  isLast?: boolean;
  /** What there is instead, with its address. */
  others: (text: string, functions: PciFunctions) => NamedFunction[];
}

/** No path, and nothing that a path would be made of. */
const isName = (text: string): boolean => /^[\w.:@!-]+$/.test(text) && !/^\.+$/.test(text);

const withName = (named: readonly NamedFunction[], name: string): string[] =>
  named.filter((each) => each.name === name).map(({address}) => address);

/** As "lspci -P" and "lspci -PP" print it; a folder of sysfs says the same. */
const PATH =
  /^(?:[0-9a-f]{1,8}:)?[0-9a-f]{1,2}:[01]?[0-9a-f]\.[0-7](?:\/(?:[0-9a-f]{1,2}:)?[01]?[0-9a-f]\.[0-7])+$/i;

const IDS = /^([0-9a-f]{4}:[0-9a-f]{4})(?:#([1-9]\d{0,4}))?$/i;

const matchesPath = (text: string, each: PciFunction): boolean => {
  if (text.startsWith('/')) return text.replace(/\/+$/, '') === each.path;
  const chain = chainOf(each);
  const hops = text.split('/');
  return (
    hops.length === chain.length &&
    hops.every((hop, at) => {
      const address = chain[at] ?? '';
      if (at === 0) return completePciAddress(hop) === address;
      const full = completePciAddress(hop.includes(':') ? hop : `0:${hop}`) ?? '';
      // the bus is told only by -PP, and its domain by none
      return hop.includes(':') ? full.slice(5) === address.slice(-7) : slotOf(full) === slotOf(address);
    })
  );
};

const withIds = (functions: PciFunctions, ids: string): PciFunction[] =>
  functions.all.filter((each) => functions.idsOf(each) === ids.toLowerCase());

/** How functions of the same ids are told apart: by the order of their addresses. */
const numbered = (functions: PciFunctions, ids: string): NamedFunction[] =>
  withIds(functions, ids).map(({address}, at) => ({name: `${ids.toLowerCase()}#${at + 1}`, address}));

const SERIAL_MARKS = /[:-]/g;

/** Numbers of PCIe and addresses of interfaces are written in both cases, and with either mark. */
export const isSameSerial = (a: string, b: string): boolean =>
  a === b ||
  (/^[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5,7}$/i.test(a) &&
    a.replaceAll(SERIAL_MARKS, '').toLowerCase() === b.replaceAll(SERIAL_MARKS, '').toLowerCase());

/** The kernel's name of a block device that may be named by a node or a link to it. */
export const blockName = (text: string, functions: PciFunctions): string =>
  (text.startsWith('/dev/') ? functions.nodeOf(text).slice('/dev/'.length) : text).replaceAll('/', '!');

/** A text is taken for each kind that it can be. */
export const SELECTOR_KINDS: readonly KindOfSelector[] = [
  {
    kind: 'path',
    what: 'PCI paths',
    fits: (text) => PATH.test(text) || text.startsWith('/sys/devices/'),
    find: (text, {all}) => all.filter((each) => matchesPath(text, each)).map(({address}) => address),
    others: (_, {all}) => all.map((each) => ({name: pathText(each), address: each.address})),
  },
  {
    kind: 'ids',
    what: 'ids',
    fits: (text) => IDS.test(text),
    find: (text, functions) => {
      const [, ids = '', number] = IDS.exec(text) ?? [];
      const all = withIds(functions, ids).map(({address}) => address);
      return number === undefined ? all : all.slice(Number(number) - 1, Number(number));
    },
    others: (text, functions) => {
      const [, ids = ''] = IDS.exec(text) ?? [];
      const same = numbered(functions, ids);
      return same.length > 0
        ? same
        : functions.all.map((each) => ({name: functions.idsOf(each) ?? '', address: each.address}));
    },
  },
  {
    kind: 'interface',
    what: 'interfaces',
    fits: isName,
    find: (text, {interfaces}) => withName(interfaces, text),
    others: (_, {interfaces}) => interfaces,
  },
  {
    kind: 'block-device',
    what: 'block devices',
    fits: (text) => isName(text) || /^\/dev\/./.test(text),
    find: (text, functions) => withName(functions.blockDevices, blockName(text, functions)),
    others: (_, {blockDevices}) => blockDevices,
  },
  {
    kind: 'serial',
    what: 'serial numbers',
    isLast: true,
    fits: (text) =>
      /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text) && /[\da-z]/i.test(text) && !text.includes('/'),
    find: (text, functions) =>
      functions.all
        .filter((each) => functions.serialsOf(each).some((serial) => isSameSerial(text, serial)))
        .map(({address}) => address),
    others: () => [],
  },
];

/** What is written after the ids to choose one of several functions. */
export const numberedIds = numbered;
