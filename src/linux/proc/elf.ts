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
const ELFCLASS64 = 2;
