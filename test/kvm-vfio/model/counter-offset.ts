const PT_LOAD = 1;
/** A function that adds to a counter and does little else is shorter. */
const MOST_BYTES = 32;
/** lock xadd %eax, disp32(%rdi): the first argument is the struct kvm. */
const LOCK_XADD = Buffer.from([0xf0, 0x0f, 0xc1, 0x87]);

/**
 * Where in struct kvm the counter is that kvm_arch_register_noncoherent_dma (arch/x86/kvm/x86.c) adds to, by the
 * function's own code: such a kernel need not have type information.
 *
 * @param vmlinux - the kernel as an ELF file
 * @param address - of the function
 */
export const counterOffset = (vmlinux: Buffer, address: bigint): bigint => {
  const code = codeAt(vmlinux, address);
  const at = code.indexOf(LOCK_XADD);
  if (at === -1)
    throw new Error(`no counter is added to at ${address.toString(16)}: ${code.toString('hex')}`);
  return BigInt(code.readInt32LE(at + LOCK_XADD.length));
};

/** elf(5), 64 bits: the program headers are at e_phoff, each with the place in the file, the address and the size. */
const codeAt = (elf: Buffer, address: bigint): Buffer => {
  const [table, size, count] = [Number(elf.readBigUInt64LE(32)), elf.readUInt16LE(54), elf.readUInt16LE(56)];
  for (let header = table; header < table + size * count; header += size) {
    const start = elf.readBigUInt64LE(header + 16);
    if (elf.readUInt32LE(header) !== PT_LOAD || address < start) continue;
    if (address >= start + elf.readBigUInt64LE(header + 32)) continue;
    const at = Number(elf.readBigUInt64LE(header + 8) + address - start);
    return elf.subarray(at, at + MOST_BYTES);
  }
  throw new Error(`the kernel's file has nothing at ${address.toString(16)}`);
};
