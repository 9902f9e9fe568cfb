/**
 * The special registers of a CPU in 64-bit mode at privilege level 0 with flat segments.
 *
 * Layout: struct kvm_sregs and struct kvm_segment in arch/x86/include/uapi/asm/kvm.h. Bits: AMD64 Architecture
 * Programmer's Manual, volume 2, and arch/x86/include/uapi/asm/processor-flags.h.
 *
 * @param sregs - `struct kvm_sregs` as KVM_GET_SREGS answered; changed in place
 * @param pageTable - guest-physical address of the topmost page table
 */
export const enterLongMode = (sregs: Buffer, pageTable: number): void => {
  writeSegment(sregs, SEGMENTS.cs, {selector: 0x08, type: CODE, long: true});
  for (const name of ['ds', 'es', 'fs', 'gs', 'ss'] as const)
    writeSegment(sregs, SEGMENTS[name], {selector: 0x10, type: DATA, long: false});
  sregs.writeBigUInt64LE(
    X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_PG,
    224,
  );
  sregs.writeBigUInt64LE(BigInt(pageTable), 240);
  sregs.writeBigUInt64LE(X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT, 248);
  sregs.writeBigUInt64LE(EFER_SCE | EFER_LME | EFER_LMA | EFER_NX, 264);
};

/**
 * Page tables that map the first `size` bytes onto themselves, writable, by pages of 2 MiB.
 *
 * @param tables - zeroes, which become the topmost table, the one below, and one for each GiB
 * @param at - guest-physical address of `tables`
 * @param size - in bytes, of at most 512 GiB
 */
export const mapIdentically = (tables: Buffer, at: number, size: number): void => {
  tables.writeBigUInt64LE(BigInt(at + PAGE) | PRESENT_WRITABLE, 0);
  for (let gib = 0; gib * GIB < size; gib += 1)
    tables.writeBigUInt64LE(BigInt(at + (2 + gib) * PAGE) | PRESENT_WRITABLE, PAGE + gib * 8);
  for (let page = 0; page * LARGE_PAGE < size; page += 1)
    tables.writeBigUInt64LE(BigInt(page * LARGE_PAGE) | PRESENT_WRITABLE | _PAGE_PSE, 2 * PAGE + page * 8);
};

const PAGE = 4096;
const LARGE_PAGE = 2 * 1024 * 1024;
const GIB = 1024 * 1024 * 1024;

const SEGMENTS = {cs: 0, ds: 24, es: 48, fs: 72, gs: 96, ss: 120};
const CODE = 0xb; // execute and read, accessed
const DATA = 0x3; // read and write, accessed

const X86_CR0_PE = 1n << 0n;
const X86_CR0_MP = 1n << 1n;
const X86_CR0_ET = 1n << 4n;
const X86_CR0_NE = 1n << 5n;
const X86_CR0_WP = 1n << 16n;
const X86_CR0_AM = 1n << 18n;
const X86_CR0_PG = 1n << 31n;
const X86_CR4_PAE = 1n << 5n;
const X86_CR4_OSFXSR = 1n << 9n; // SSE
const X86_CR4_OSXMMEXCPT = 1n << 10n;
const EFER_SCE = 1n << 0n;
const EFER_NX = 1n << 11n;
const EFER_LME = 1n << 8n;
const EFER_LMA = 1n << 10n;
const PRESENT_WRITABLE = 3n;
const _PAGE_PSE = 1n << 7n;

/** struct kvm_segment: u64 base, u32 limit, u16 selector, u8 type, present, dpl, db, s, l, g, avl, unusable, padding. */
const writeSegment = (
  sregs: Buffer,
  at: number,
  {selector, type, long}: {selector: number; type: number; long: boolean},
): void => {
  sregs.writeBigUInt64LE(0n, at);
  sregs.writeUInt32LE(0xffffffff, at + 8);
  sregs.writeUInt16LE(selector, at + 12);
  // type, present, dpl, db, s, l, g, avl, unusable, padding
  Buffer.from([type, 1, 0, long ? 0 : 1, 1, long ? 1 : 0, 1, 0, 0, 0]).copy(sregs, at + 14);
};
