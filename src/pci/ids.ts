import {constants} from 'node:os';
import {DirectoryTree} from '../host/directory-tree.js';
import {SyscallError} from '../linux/errno.js';
import type {HostTree, ReadAt} from '../host/tree.js';
import {Attributes} from '../host/attributes.js';

/**
 * Names of vendors, devices and classes from one pci.ids (format: the head of that file).
 *
 * The file has some 40,000 lines and a machine asks for a few dozen, so each vendor's block is found by searching,
 * and a device in it likewise.
 */
export class PciIds {
  /** A list without names. */
  static readonly NONE = new PciIds(Buffer.of());

  /** The bytes as if they were Latin-1: to decode all of it takes as long as all else that a small machine takes. */
  readonly #text: string;
  readonly #blocks = new Map<string, string>();
  readonly #names = new Map<string, string | null>();

  /** @param bytes in UTF-8 */
  constructor(bytes: Buffer) {
    this.#text = bytes.toString('latin1');
  }

  vendor(vendorId: string): string | null {
    return this.#name(vendorId, '');
  }

  device(vendorId: string, deviceId: string): string | null {
    return this.#name(vendorId, deviceId);
  }

  /** Name of a class code such as `020000`: its subclass or, where that has no name, its base class. */
  className(classCode: string): string | null {
    const head = `C ${classCode.slice(0, 2)}`;
    return this.#name(head, classCode.slice(2, 4)) ?? this.#name(head, '');
  }

  /** The lines that name the given vendors' devices and classes: a small pci.ids with the same answers. */
  excerpt(devices: Iterable<{vendorId: string; deviceId: string}>, classCodes: Iterable<string>): string {
    const lines = new Map<string, Set<string>>();
    const keep = (head: string, id: string, name: string | null): void => {
      const top = this.#name(head, '');
      if (top === null) return;
      const rest = lines.get(`${head}  ${top}`) ?? new Set();
      if (name !== null) rest.add(`\t${id}  ${name}`);
      lines.set(`${head}  ${top}`, rest);
    };
    for (const {vendorId, deviceId} of devices) keep(vendorId, deviceId, this.device(vendorId, deviceId));
    for (const code of classCodes) {
      const head = `C ${code.slice(0, 2)}`;
      keep(head, code.slice(2, 4), this.#name(head, code.slice(2, 4)));
    }
    // classes stand behind all vendors, as they do in the full file
    const heads = [...lines.keys()].sort((a, b) =>
      isClass(a) === isClass(b) ? (a < b ? -1 : 1) : isClass(a) ? 1 : -1,
    );
    return heads.map((head) => `${[head, ...[...(lines.get(head) ?? [])].sort()].join('\n')}\n`).join('');
  }

  /** A name under one head line (`8086` or `C 02`); that of the head itself has no id. */
  #name(head: string, id: string): string | null {
    const key = `${head}\t${id}`;
    let name = this.#names.get(key);
    if (name === undefined) {
      name =
        id === '' ? following(this.#block(head), `${head}  `) : following(this.#block(head), `\n\t${id}  `);
      this.#names.set(key, name);
    }
    return name;
  }

  /** The lines from a head to the next one; none where there is no such head. */
  #block(head: string): string {
    let block = this.#blocks.get(head);
    if (block === undefined) {
      const start = this.#startOf(`${head}  `);
      NEXT_HEAD.lastIndex = start;
      block = start === -1 ? '' : this.#text.slice(start, NEXT_HEAD.exec(this.#text)?.index);
      this.#blocks.set(head, block);
    }
    return block;
  }

  /** Classes stand behind all vendors, and most of a megabyte lies between. */
  #startOf(head: string): number {
    if (this.#text.startsWith(head)) return 0;
    const before = isClass(head) ? this.#text.lastIndexOf(`\n${head}`) : this.#text.indexOf(`\n${head}`);
    return before === -1 ? -1 : before + 1;
  }
}

/** The end of the line before one that is neither empty nor a comment, nor belongs to the head above it. */
const NEXT_HEAD = /\n[^\t#\n]/g;

/** The rest of the line behind some text; null where the text does not occur. */
const following = (block: string, text: string): string | null => {
  const start = block.indexOf(text);
  if (start === -1) return null;
  const end = block.indexOf('\n', start + text.length);
  const name = block.slice(start + text.length, end === -1 ? undefined : end);
  return Buffer.from(name, 'latin1').toString().trim();
};

/** Usual places: Debian and its kin, Fedora and SUSE and theirs, Slackware, and pciutils' own update folder. */
export const PCI_IDS_PLACES = [
  '/usr/share/misc/pci.ids',
  '/usr/share/hwdata/pci.ids',
  '/usr/share/pci.ids',
  '/var/lib/pciutils/pci.ids',
];

const PCI_IDS_LIMIT = 16 * 1024 * 1024;
/** The file has some 1.4 MB. */
const USUAL = 2 * 1024 * 1024;

/** The machine's pci.ids; one without a name in it when the machine has none, so that numbers remain. */
export const readPciIds = ({tree}: Attributes): {ids: PciIds; path: string | null} => {
  for (const path of PCI_IDS_PLACES) {
    const bytes = readBytes(tree, path);
    if (!(bytes instanceof SyscallError)) return {ids: new PciIds(bytes), path};
  }
  return {ids: PciIds.NONE, path: null};
};

const readBytes = (tree: HostTree, path: string): Buffer | SyscallError => {
  if (tree instanceof DirectoryTree) {
    const bytes = tree.inspect(path, wholeOf);
    // as a text of that length is
    return bytes instanceof SyscallError || bytes.length <= PCI_IDS_LIMIT
      ? bytes
      : new SyscallError('read', constants.errno.EFBIG, path);
  }
  // a recording keeps the text, of which an excerpt is made
  const text = tree.text(path, PCI_IDS_LIMIT);
  return typeof text === 'string' ? Buffer.from(text) : text;
};

/** All of it, or more than the limit. Memory for the largest file there could be would have V8 look for garbage. */
const wholeOf = (at: ReadAt): Buffer => {
  for (let length = USUAL; ; length = Math.min(2 * length, PCI_IDS_LIMIT + 1)) {
    const bytes = at(0, length);
    if (bytes.length < length || length > PCI_IDS_LIMIT) return bytes;
  }
};

/** The machine's names, or those of another where it has none. */
export const readNames = (attributes: Attributes, elsewhere: HostTree | undefined): PciIds => {
  const own = readPciIds(attributes);
  return own.path === null && elsewhere !== undefined ? readPciIds(new Attributes(elsewhere)).ids : own.ids;
};

const isClass = (head: string): boolean => head.startsWith('C ');
