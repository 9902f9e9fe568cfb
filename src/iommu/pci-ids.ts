import type {HostTree} from '../linux/host-tree.js';
import {Attributes} from './attributes.js';

/**
 * Names of vendors, devices and classes from one pci.ids text (format: the head of that file).
 *
 * The text has some 40,000 lines and a machine asks for a few dozen, so each vendor's block is found by searching
 * and only that block is parsed.
 */
export class PciIds {
  readonly #text: string;
  readonly #blocks = new Map<string, Map<string, string>>();

  constructor(text: string) {
    this.#text = `\n${text}`;
  }

  vendor(vendorId: string): string | null {
    return this.#block(vendorId).get('') ?? null;
  }

  device(vendorId: string, deviceId: string): string | null {
    return this.#block(vendorId).get(deviceId) ?? null;
  }

  /** Name of a class code such as `020000`: its subclass or, where that has no name, its base class. */
  className(classCode: string): string | null {
    const block = this.#block(`C ${classCode.slice(0, 2)}`);
    return block.get(classCode.slice(2, 4)) ?? block.get('') ?? null;
  }

  /** The lines that name the given vendors' devices and classes: a small pci.ids with the same answers. */
  excerpt(devices: Iterable<{vendorId: string; deviceId: string}>, classCodes: Iterable<string>): string {
    const lines = new Map<string, Set<string>>();
    const keep = (head: string, id: string, name: string | null): void => {
      const top = this.#block(head).get('');
      if (top === undefined) return;
      const rest = lines.get(`${head}  ${top}`) ?? new Set();
      if (name !== null) rest.add(`\t${id}  ${name}`);
      lines.set(`${head}  ${top}`, rest);
    };
    for (const {vendorId, deviceId} of devices) keep(vendorId, deviceId, this.device(vendorId, deviceId));
    for (const code of classCodes) {
      const head = `C ${code.slice(0, 2)}`;
      keep(head, code.slice(2, 4), this.#block(head).get(code.slice(2, 4)) ?? null);
    }
    // classes stand behind all vendors, as they do in the full file
    const heads = [...lines.keys()].sort((a, b) =>
      isClass(a) === isClass(b) ? (a < b ? -1 : 1) : isClass(a) ? 1 : -1,
    );
    return heads.map((head) => `${[head, ...[...(lines.get(head) ?? [])].sort()].join('\n')}\n`).join('');
  }

  /** The names under one head line (`8086` or `C 02`); the head's own name is under the empty key. */
  #block(head: string): Map<string, string> {
    const known = this.#blocks.get(head);
    if (known !== undefined) return known;
    const names = new Map<string, string>();
    this.#blocks.set(head, names);
    const start = this.#text.indexOf(`\n${head}  `);
    if (start === -1) return names;
    for (let from = start + 1; from < this.#text.length;) {
      const newline = this.#text.indexOf('\n', from);
      const end = newline === -1 ? this.#text.length : newline;
      const line = this.#text.slice(from, end);
      if (from === start + 1) names.set('', line.slice(head.length).trim());
      else if (line.startsWith('\t')) {
        const gap = line.indexOf('  ');
        // two tabs lead in subsystems and programming interfaces
        if (gap > 0 && line[1] !== '\t') names.set(line.slice(1, gap), line.slice(gap).trim());
      } else if (line !== '' && !line.startsWith('#')) break;
      from = end + 1;
    }
    return names;
  }
}

/** Usual places: Debian and its kin, Fedora and SUSE and theirs, Slackware, and pciutils' own update folder. */
export const PCI_IDS_PLACES = [
  '/usr/share/misc/pci.ids',
  '/usr/share/hwdata/pci.ids',
  '/usr/share/pci.ids',
  '/var/lib/pciutils/pci.ids',
];

const PCI_IDS_LIMIT = 16 * 1024 * 1024;

/** The machine's pci.ids; one without a name in it when the machine has none, so that numbers remain. */
export const readPciIds = (attributes: Attributes): {ids: PciIds; path: string | null} => {
  for (const path of PCI_IDS_PLACES) {
    const text = attributes.tree.text(path, PCI_IDS_LIMIT);
    if (typeof text === 'string') return {ids: new PciIds(text), path};
  }
  return {ids: new PciIds(''), path: null};
};

/** The machine's names, or those of another where it has none. */
export const readNames = (attributes: Attributes, elsewhere: HostTree | undefined): PciIds => {
  const own = readPciIds(attributes);
  return own.path === null && elsewhere !== undefined ? readPciIds(new Attributes(elsewhere)).ids : own.ids;
};

const isClass = (head: string): boolean => head.startsWith('C ');
