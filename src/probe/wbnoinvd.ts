/**
 * Whether a CPU has WBNOINVD: leaf 0x80000008, EBX bit 9 (AMD64 Architecture Programmer's Manual, volume 3;
 * X86_FEATURE_WBNOINVD in arch/x86/include/asm/cpufeatures.h).
 *
 * @param cpuid - `struct kvm_cpuid2`
 */
export const supportsWbnoinvd = (cpuid: Buffer): boolean => {
  // struct kvm_cpuid_entry2: u32 function, index, flags, eax, ebx, …, of 40 bytes
  for (let at = 8; at + 40 <= cpuid.length; at += 40) {
    if (cpuid.readUInt32LE(at) === 0x80000008) return (cpuid.readUInt32LE(at + 16) & (1 << 9)) !== 0;
  }
  return false;
};
