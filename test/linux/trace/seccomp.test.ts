import assert from 'node:assert/strict';
import {AUDIT_ARCH_X86_64, seccompVerdict, type SeccompCall} from '../../../src/linux/trace/seccomp.js';

const KILL_PROCESS = 0x80000000;
const ERRNO = 0x00050000;
const LOG = 0x7ffc0000;
const ALLOW = 0x7fff0000;

/** `struct sock_filter`s: code, jt, jf, k. */
const program = (...instructions: [number, number, number, number][]): Buffer =>
  Buffer.concat(
    instructions.map(([code, jt, jf, k]) => {
      const bytes = Buffer.alloc(8);
      bytes.writeUInt16LE(code, 0);
      bytes.writeUInt8(jt, 2);
      bytes.writeUInt8(jf, 3);
      bytes.writeUInt32LE(k, 4);
      return bytes;
    }),
  );

const load = (offset: number): [number, number, number, number] => [0x20, 0, 0, offset];
const returns = (action: number): [number, number, number, number] => [0x06, 0, 0, action];
const ifEqual = (k: number, jt: number, jf: number): [number, number, number, number] => [0x15, jt, jf, k];

const call = (number: number, ...args: bigint[]): SeccompCall => ({
  number,
  arch: AUDIT_ARCH_X86_64,
  instructionPointer: 0x7f0012345678n,
  args,
});

/** Allows call 16 whose second argument's lower half is 0xae80, fails call 1, kills for the rest. */
const FILTER = program(
  load(4),
  ifEqual(AUDIT_ARCH_X86_64, 1, 0),
  returns(KILL_PROCESS),
  load(0),
  ifEqual(1, 0, 1),
  returns(ERRNO | 1),
  ifEqual(16, 1, 0),
  returns(KILL_PROCESS),
  load(24),
  ifEqual(0xae80, 0, 1),
  returns(ALLOW),
  returns(KILL_PROCESS),
);

describe('The verdict of seccomp filters', () => {
  it('is that of the filter, which sees number, architecture and arguments', () => {
    assert.equal(seccompVerdict([FILTER], call(16, 5n, 0xae80n)), 'runs');
    assert.equal(seccompVerdict([FILTER], call(16, 5n, 0xae81n)), 'harms');
    assert.equal(seccompVerdict([FILTER], call(1)), 'fails');
    assert.equal(seccompVerdict([FILTER], {...call(16, 5n, 0xae80n), arch: 0x40000003}), 'harms');
  });

  it('is the strictest of several, and without any that it runs', () => {
    const [allow, log, errno, kill, killThread] = [ALLOW, LOG, ERRNO, KILL_PROCESS, 0].map((action) =>
      program(returns(action)),
    ) as [Buffer, Buffer, Buffer, Buffer, Buffer];
    assert.equal(seccompVerdict([], call(1)), 'runs');
    assert.equal(seccompVerdict([allow, log], call(1)), 'runs');
    assert.equal(seccompVerdict([allow, errno, log], call(1)), 'fails');
    assert.equal(seccompVerdict([errno, killThread], call(1)), 'harms');
    assert.equal(seccompVerdict([killThread, kill, allow], call(1)), 'harms');
    for (const other of [0x00030000, 0x7fc00000]) {
      assert.equal(seccompVerdict([program(returns(other))], call(1)), 'harms'); // TRAP, USER_NOTIF
    }
  });

  it('follows arithmetic in 32 bits, scratch memory and conditions', () => {
    const answer = (...instructions: [number, number, number, number][]) =>
      seccompVerdict([program(...instructions, ifEqual(7, 0, 1), returns(ALLOW), returns(ERRNO))], call(3));
    const A = (k: number): [number, number, number, number] => [0x00, 0, 0, k];
    const alu = (operation: number, k: number): [number, number, number, number] => [
      0x04 | operation,
      0,
      0,
      k,
    ];
    assert.equal(answer(A(0xffffffff), alu(0x00, 8)), 'runs'); // add
    assert.equal(answer(A(3), alu(0x10, 0xfffffffc)), 'runs'); // sub
    assert.equal(answer(A(0x40000001), alu(0x20, 7), alu(0x50, 0xff)), 'runs'); // mul, and
    assert.equal(answer(A(50), alu(0x30, 7)), 'runs'); // div
    assert.equal(answer(A(5), alu(0x40, 2)), 'runs'); // or
    assert.equal(answer(A(0xe0000000), alu(0x70, 29)), 'runs'); // rsh
    assert.equal(answer(A(0xfffffff9), alu(0x80, 0)), 'runs'); // neg
    assert.equal(answer(A(0xf7), alu(0xa0, 0xf0)), 'runs'); // xor
    assert.equal(answer(A(7), [0x02, 0, 0, 3], A(0), [0x60, 0, 0, 3]), 'runs'); // st, ld mem
    assert.equal(answer(A(7), [0x07, 0, 0, 0], A(0), [0x87, 0, 0, 0]), 'runs'); // tax, txa
    assert.equal(answer([0x80, 0, 0, 0], alu(0x10, 57)), 'runs'); // length of seccomp_data is 64
    assert.equal(answer(A(1), alu(0x30, 1), [0x01, 0, 0, 0], [0x3c, 0, 0, 0]), 'harms'); // by x = 0: KILL_THREAD
    assert.equal(answer(A(9), [0x25, 0, 1, 8], A(7)), 'runs'); // jgt
    assert.equal(answer(A(8), [0x35, 0, 1, 8], A(7)), 'runs'); // jge
    assert.equal(answer(A(8), [0x45, 0, 1, 8], A(7)), 'runs'); // jset
    assert.equal(answer(A(7), [0x05, 0, 0, 1], A(0)), 'runs'); // ja
  });

  it('is not guessed for what is no filter', () => {
    assert.throws(() => seccompVerdict([Buffer.alloc(0)], call(1)), RangeError);
    assert.throws(() => seccompVerdict([program([0xff, 0, 0, 0])], call(1)), RangeError);
  });
});
