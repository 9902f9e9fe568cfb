/** How often the guest executes WBINVD before it halts, which gives its VMM a chance to stop it. */
export const WBINVDS_PER_SLICE = 256;

/** Guest-physical addresses. */
export const PROGRAM_AT = 0x1000;
export const COUNTER_AT = 0x2000;
export const MEMORY_SIZE = 0x3000;

/** A guest in 16-bit real mode that executes WBINVD without end and counts in the 8 bytes at COUNTER_AT. */
export const WBINVD_PROGRAM = Buffer.from(
  [
    [0xb9, 0x00, 0x01], //                          00  mov  cx, 256
    [0x0f, 0x09], //                                03  wbinvd
    [0x66, 0x83, 0x06, 0x00, 0x20, 0x01], //        05  add  dword [0x2000], 1
    [0x66, 0x83, 0x16, 0x04, 0x20, 0x00], //        0b  adc  dword [0x2004], 0
    [0xe2, 0xf0], //                                11  loop 03
    [0xf4], //                                      13  hlt
    [0xeb, 0xea], //                                14  jmp  00
  ].flat(),
);
