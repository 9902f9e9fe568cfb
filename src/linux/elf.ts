/** What the header and notes of an executable say. */
export interface Elf {
  bits: 32 | 64;
  /** e_machine, such as EM_X86_64. */
  machine: number;
  /** Owners of its notes, such as `GNU` and `Go`. */
  noteOwners: string[];
}

export const EM_X86_64 = 62;

const PT_NOTE = 4;
const MOST_BYTES_OF_NOTES = 64 * 1024;

/**
 * Reads an ELF file (elf(5)), little-endian. Notes are read of 64-bit files only.
 *
 * @param read - bytes of the file, fewer at its end
 * @returns null for another kind of file
 */
export const readElf = (read: (offset: number, size: number) => Buffer): Elf | null => {
  const header = read(0, 64);
  if (header.length < 52 || header.toString('latin1', 0, 4) !== '\x7fELF') return null;
  const machine = header.readUInt16LE(18);
  if (header[4] !== 2 || header.length < 64) return {bits: 32, machine, noteOwners: []};
  const tableAt = Number(header.readBigUInt64LE(32));
  const entrySize = header.readUInt16LE(54);
  const table = read(tableAt, entrySize * header.readUInt16LE(56));
  const noteOwners: string[] = [];
  for (let at = 0; at + 56 <= table.length; at += entrySize) {
    if (table.readUInt32LE(at) !== PT_NOTE) continue;
    const size = Math.min(Number(table.readBigUInt64LE(at + 32)), MOST_BYTES_OF_NOTES);
    noteOwners.push(...ownersOf(read(Number(table.readBigUInt64LE(at + 8)), size)));
  }
  return {bits: 64, machine, noteOwners: [...new Set(noteOwners)]};
};

/** Each note: u32 sizes of owner and description, u32 type, and both, padded to 4 bytes. */
const ownersOf = (notes: Buffer): string[] => {
  const owners: string[] = [];
  for (let at = 0; at + 12 <= notes.length;) {
    const ownerSize = notes.readUInt32LE(at);
    const descriptionSize = notes.readUInt32LE(at + 4);
    owners.push(notes.toString('latin1', at + 12, at + 12 + ownerSize).replace(/\0+$/, ''));
    at += 12 + padded(ownerSize) + padded(descriptionSize);
  }
  return owners;
};

const padded = (size: number): number => Math.ceil(size / 4) * 4;
