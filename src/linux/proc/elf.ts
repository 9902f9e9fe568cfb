/** What the header of an executable says. */
export interface Elf {
  bits: 32 | 64;
  /** e_machine, such as EM_X86_64. */
  machine: number;
}

export const EM_X86_64 = 62;

/**
 * Reads the header of an ELF file (elf(5)), little-endian.
 *
 * @param read - bytes of the file, fewer at its end
 * @returns null for another kind of file
 */
export const readElf = (read: (offset: number, size: number) => Buffer): Elf | null => {
  const header = read(0, SIZEOF_ELF32_HEADER);
  if (header.length < SIZEOF_ELF32_HEADER || header.toString('latin1', 0, 4) !== '\x7fELF') return null;
  return {bits: header[4] === ELFCLASS64 ? 64 : 32, machine: header.readUInt16LE(18)};
};

const SIZEOF_ELF32_HEADER = 52;
const SIZEOF_ELF64_HEADER = 64;
const ELFCLASS64 = 2;

/** A part of an ELF file, as a program header has it. */
export interface ElfSegment {
  /** PT_… of elf(5). */
  type: number;
  /** Its offset in the file. */
  start: number;
  length: number;
}

export const PT_INTERP = 3;
export const PT_NOTE = 4;

/** The program headers of a 64-bit ELF file (elf(5), Elf64_Phdr), or null where the bytes are none. */
export const segmentsOf = (elf: Buffer): ElfSegment[] | null => {
  if (elf.length < SIZEOF_ELF64_HEADER || readElf((at, size) => elf.subarray(at, at + size)) === null)
    return null;
  const [offset, size, count] = [Number(elf.readBigUInt64LE(32)), elf.readUInt16LE(54), elf.readUInt16LE(56)];
  return Array.from({length: count}, (_, index) => {
    const header = elf.subarray(offset + index * size);
    return {
      type: header.readUInt32LE(0),
      start: Number(header.readBigUInt64LE(8)),
      length: Number(header.readBigUInt64LE(32)),
    };
  });
};
