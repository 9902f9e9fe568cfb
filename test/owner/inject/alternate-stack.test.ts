import assert from 'node:assert/strict';
import type {ProcessMemory} from '../../../src/linux/memory.js';
import {mayBeOnAlternateStack} from '../../../src/owner/inject/alternate-stack.js';

describe('a stack pointer', () => {
  // the stack ends 32 MiB above a multiple of 4 GiB, so that a stack of 64 MiB would begin below it
  const END = 0x7ffe_0200_0000n;
  const RSP = END - 0x1000n;

  /** What is asked about a stack with this `stack_t` at 256 bytes above the stack pointer. */
  const mayBe = (lowest: bigint, size: bigint): boolean => {
    const bytes = Buffer.alloc(Number(END - RSP));
    bytes.writeBigUInt64LE(lowest, 256);
    bytes.writeBigUInt64LE(size, 256 + 16);
    return mayBeOnAlternateStack({read: () => bytes} as unknown as ProcessMemory, RSP, END);
  };

  it('is on no alternate stack where none is described, wherever the stack lies', () => {
    assert.equal(mayBe(0n, 0n), false);
  });

  it('may be on an alternate stack that a signal frame describes, on either side of a multiple of 4 GiB', () => {
    for (const lowest of [RSP - 0x1000n, 0x7ffd_ff00_0000n]) {
      assert.equal(mayBe(lowest, RSP + 0x800n - lowest), true);
      assert.equal(mayBe(lowest, RSP - lowest), false, 'it ends below');
    }
  });
});
