import assert from 'node:assert/strict';
import {getHeapSpaceStatistics} from 'node:v8';
import type {ProcessMemory} from '../../../src/linux/memory.js';
import type {Tracee} from '../../../src/linux/trace/ptrace.js';
import {StoppedThread} from '../../../src/owner/inject/stopped-thread.js';
import {parseProcessStatus} from '../../../src/linux/proc/status.js';
import {Registers, USER_REGS, type RegisterName} from '../../../src/linux/trace/registers.js';
import {disturbance, type OwnerThread} from '../../../src/owner/inject/candidates.js';
import {findCodeSites} from '../../../src/owner/inject/code-sites.js';
import {deadHandOvers} from '../../../src/owner/inject/hand-over.js';
import {quiesceV8} from '../../../src/owner/inject/quiesce-v8.js';
import {callToMake, continued, isKvmRun, madeAgain} from '../../../src/owner/inject/interrupted-call.js';
import {ROOM, SignalFrame, XSAVE_AT} from '../../../src/owner/inject/signal-frame.js';

const registers = (values: Partial<Record<RegisterName, bigint>>): Registers =>
  new Registers(new BigUint64Array(USER_REGS.length)).with(values);

describe('A stopped thread goes on', () => {
  const inCall = (number: bigint, rax: bigint): Registers => registers({orig_rax: number, rax, rip: 0x1002n});

  it('as it was found, where the kernel makes its call again or that has ended', () => {
    for (const [call, rax] of [
      [-1n, -4n],
      [7n, -512n],
      [7n, -513n],
      [7n, -514n],
      [7n, -516n],
      [0n, 0n],
      [0n, 5n],
      [3n, -4n],
      [0n, -11n],
    ] as const) {
      const found = inCall(call, rax);
      assert.equal(madeAgain(found), found);
    }
  });

  it('with epoll_wait made again, which a stop makes fail for good', () => {
    assert.equal(madeAgain(inCall(232n, -4n)).getSigned('rax'), -514);
  });

  it('with a call on a socket that has a timeout made again, which a stop makes fail for good', () => {
    for (const call of [0n, 42n, 43n, 45n, 46n, 47n, 288n, 299n])
      assert.equal(madeAgain(inCall(call, -4n)).getSigned('rax'), -514);
  });

  it('with KVM_RUN and other requests to KVM made again, and none to others', () => {
    const found = inCall(16n, -4n).with({rsi: 0xae80n});
    assert.ok(isKvmRun(found));
    assert.equal(madeAgain(found).getSigned('rax'), -514);
    assert.equal(madeAgain(found.with({rsi: 0xae01n})).getSigned('rax'), -514);
    assert.equal(madeAgain(found.with({rsi: 0x4004_4801n})).getSigned('rax'), -4);
  });

  it('has a sleep made again that could not say what is left of its time', () => {
    for (const call of [35n, 230n]) assert.equal(madeAgain(inCall(call, -14n)).getSigned('rax'), -514);
    assert.equal(madeAgain(inCall(232n, -14n)).getSigned('rax'), -14);
  });

  it('with the call that it is about to make, and with the original one in place of restart_syscall, or not at all', () => {
    const none = (): Buffer => assert.fail('the code was read');
    assert.equal(callToMake(inCall(-1n, 5n), inCall(7n, -38n), none), 7);
    const entered = inCall(219n, -38n);
    assert.equal(callToMake(inCall(7n, -516n), entered, none), 7);
    assert.equal(callToMake(inCall(7n, -514n), entered, none), null);
    const again = (code: string): number | null =>
      callToMake(inCall(219n, -516n), entered, () => Buffer.from(code.replace(' ', ''), 'hex'));
    assert.equal(again('b8e60000000f05'), 230);
    for (const code of ['', 'b8e60000000f34', 'b8010000000f05', '0000000000f05', '89f8909090 0f05'])
      assert.equal(again(code), null, code);
    assert.equal(continued(Buffer.from('b8ca0000000f05', 'hex')), 202);
  });
});

describe('A signal frame', () => {
  const END = 0x7ffc12345640n;
  const fill = (extendedSize: number, features: bigint, inUse: bigint): SignalFrame => {
    const frame = new SignalFrame();
    frame.memory.bytes.writeBigUInt64LE(features, XSAVE_AT + 464);
    frame.memory.bytes.writeBigUInt64LE(inUse, XSAVE_AT + 512);
    frame.fill(registers({rip: 0x4711n, cs: 0x33n, ss: 0x2bn}), 0x5an, extendedSize, 0xabcdefn, END);
    return frame;
  };
  const sizeInFrame = (frame: SignalFrame): number => frame.memory.bytes.readUInt32LE(XSAVE_AT + 464 + 16);

  it('ends where it is to, has its XSAVE area at a multiple of 64, and begins with the way to rt_sigreturn', () => {
    const frame = fill(2696, 0xe7n, 7n);
    assert.equal(frame.bytes.readBigUInt64LE(0), 0xabcdefn);
    assert.equal(frame.stackForSigreturn, frame.stackForCalls + 8n);
    const end = frame.stackForCalls + BigInt(frame.bytes.length);
    assert.equal(end, END);
    assert.equal(frame.data + BigInt(ROOM), end);
    const xsave = frame.bytes.readBigUInt64LE(8 + 224);
    assert.equal(xsave % 64n, 0n);
    assert.equal(frame.bytes.readBigUInt64LE(8 + 40 + 16 * 8), 0x4711n, 'rip');
    assert.equal(frame.bytes.readUInt16LE(8 + 184), 0x33);
    assert.equal(frame.bytes.readBigUInt64LE(8 + 296), 0x5an);
    const area = frame.bytes.subarray(Number(xsave - frame.stackForCalls));
    assert.equal(area.readUInt32LE(464), 0x46505853);
    assert.equal(area.readUInt32LE(2696), 0x46505845);
    assert.equal(sizeInFrame(frame), 2696);
  });

  it('leaves out tiles of a thread that does not use them, as rt_sigreturn may not accept them from it', () => {
    const frame = fill(11008, 0x602e7n, 7n);
    assert.equal(sizeInFrame(frame), 2816);
    assert.equal(frame.memory.bytes.readBigUInt64LE(XSAVE_AT + 472), 0x202e7n);
    assert.equal(sizeInFrame(fill(11008, 0x602e7n, 0x40007n)), 11008);
  });
});

describe('Before a stop', () => {
  it('V8 has room for what is allocated in it, however full its young space was', () => {
    const room = (): number =>
      getHeapSpaceStatistics().find(({space_name}) => space_name === 'new_space')?.space_available_size ?? -1;
    const garbage: unknown[] = [];
    // a collection in between leaves it empty again
    for (let tries = 0; room() > 64 * 1024 && tries < 1e5; tries += 1)
      garbage[0] = new Array(1024).fill(tries);
    assert.ok(room() <= 64 * 1024, `${room()} bytes`);
    quiesceV8();
    assert.ok(room() >= 96 * 1024, `${room()} bytes`);
  });
});

describe('Code to be made to execute', () => {
  const mapping = (start: number, size: number, name: string, executable = true) => ({
    start: BigInt(start),
    end: BigInt(start + size),
    readable: true,
    writable: false,
    executable,
    name,
  });
  const at = (found: Record<number, string>) => (start: bigint, size: number) => {
    const bytes = Buffer.alloc(size);
    for (const [address, code] of Object.entries(found)) {
      const offset = Number(address) - Number(start);
      if (offset >= 0 && offset < size) Buffer.from(code, 'hex').copy(bytes, offset);
    }
    return bytes;
  };

  it('is looked for in the C library first, and also across the borders of chunks', () => {
    const border = 0x100000 + 256 * 1024 - 4;
    const sites = findCodeSites(
      [mapping(0x10000, 4096, '/usr/bin/vmm'), mapping(0x100000, 512 * 1024, '/lib/libc.so.6')],
      at({0x10010: '0f05c3', [border]: '48c7c00f0000000f05', 0x150000: '0f05c3'}),
    );
    assert.deepEqual([sites?.sigreturn.address, sites?.syscall.address], [BigInt(border), 0x150000n]);
  });

  it("is musl's too, and nothing when one half is missing or not executable", () => {
    const maps = [mapping(0x1000, 4096, '/lib/ld-musl-x86_64.so.1')];
    assert.ok(findCodeSites(maps, at({0x1000: 'b80f0000000f05', 0x1100: '0f05c3'})));
    assert.equal(findCodeSites(maps, at({0x1100: '0f05c3'})), null);
    assert.equal(
      findCodeSites([mapping(0x1000, 4096, 'x', false)], at({0x1000: 'b80f0000000f05', 0x1100: '0f05c3'})),
      null,
    );
  });
});

describe('A thread to be stopped', () => {
  const task = (comm: string, syscall: OwnerThread['syscall'], lines = ''): OwnerThread => ({
    tid: 1,
    comm,
    syscall,
    status: parseProcessStatus(`State:\tS\nTracerPid:\t0\nSeccomp:\t0\n${lines}`),
  });
  const call = (number: number, ...args: bigint[]): OwnerThread['syscall'] => ({
    kind: 'syscall',
    number,
    args,
    sp: 0n,
    pc: 0n,
  });

  it('waits in a call that the kernel makes again, rather than anything else', () => {
    const ranked = [
      task('qemu', call(271)),
      task('worker', call(232)),
      task('worker', call(47)),
      task('worker', call(219)),
      task('worker', {kind: 'running'}),
      task('worker', call(4711)),
      task('CPU 0/KVM', {kind: 'running'}),
      task('fc_vcpu 0', call(202)),
    ].map((thread) => disturbance(thread, {canWrite: () => true, gathers: () => false}));
    assert.deepEqual(ranked, [0, 2, 2, 1, 3, null, 4, 4]);
  });

  const rank = (thread: OwnerThread, canWrite = true): number | null =>
    disturbance(thread, {canWrite: () => canWrite, gathers: () => false});

  it('waits in ppoll, select or pselect6 rather than in other calls only where the time that is left can be written', () => {
    const timeout = [0n, 0n, 0x1000n, 0n, 0x1000n] as const;
    for (const number of [271, 23, 270]) {
      assert.equal(rank(task('main', call(number, ...timeout))), 0);
      assert.equal(rank(task('main', call(number, ...timeout)), false), 2);
      assert.equal(rank(task('main', call(number, 0n, 0n, 0n, 0n, 0n)), false), 0);
    }
  });

  it('is never in a call that a stop may end with a part of what it was to do', () => {
    const whole = [
      call(45, 3n, 1n, 9n, 0n),
      call(47, 3n, 1n, 0n),
      call(299, 3n, 1n, 1n),
      call(426, 3n, 0n, 1n),
    ];
    const parts = [
      call(45, 3n, 1n, 9n, 0x100n),
      call(47, 3n, 1n, 0x100n),
      call(299, 3n, 1n, 2n),
      call(426, 3n, 1n, 1n),
      call(208, 3n, 2n),
      call(202, 3n, 11n),
      ...[1, 20, 40, 44, 46, 275, 278, 307, 328].map((number) => call(number, 3n, 1n, 9n)),
    ];
    assert.deepEqual(
      whole.map((found) => rank(task('main', found))),
      [2, 2, 2, 2],
    );
    for (const found of parts) assert.equal(rank(task('main', found)), null, JSON.stringify(found?.kind));
  });

  it('is never in KVM_RUN, stopped, traced, a zombie, on shadow stacks or in strict mode', () => {
    assert.equal(rank(task('main', call(16, 13n, 0xae80n))), null);
    assert.equal(rank(task('main', call(16, 13n, 0xae81n))), null);
    const status = (text: string): OwnerThread => ({
      ...task('main', call(271)),
      status: parseProcessStatus(text),
    });
    for (const state of ['T', 't', 'Z', 'X', 'D']) {
      assert.equal(rank(status(`State:\t${state}\nTracerPid:\t0\n`)), null, state);
    }
    assert.equal(rank(status('State:\tS\nTracerPid:\t7\n')), null);
    assert.equal(rank(status('State:\tS\nTracerPid:\t0\nx86_Thread_features:\tshstk \n')), null);
    assert.equal(rank(status('State:\tS\nTracerPid:\t0\nSeccomp:\t1\n')), null);
  });
});

describe('A stopped thread that does not answer', () => {
  it('is asked nothing any more, and the reason stays that', () => {
    const nothing = (): void => undefined;
    const thread = {continueToSyscall: nothing, waitUntil: () => null} as unknown as Tracee;
    const memory = {write: nothing, [Symbol.dispose]: nothing} as unknown as ProcessMemory;
    const site = {address: 0n, bytes: Buffer.alloc(0)};
    const stopped = new StoppedThread(
      {thread, memory, frame: new SignalFrame(), sites: {sigreturn: site, syscall: site}, patience: 0},
      {registers: registers({}), signalMask: 0n, atEntry: false, continues: false, left: nothing},
    );
    const call = (name: 'recvmsg' | 'close') => () => stopped.call({name, args: () => [4]});
    assert.throws(call('recvmsg'), {name: 'NoAnswer', during: 'recvmsg'});
    assert.throws(call('close'), {name: 'NoAnswer', during: 'recvmsg'});
    stopped.release();
  });
});

describe('Sockets that a killed kvfio left', () => {
  it('are told by their names, and by the death of who gave them', () => {
    const text = [
      'Num       RefCount Protocol Flags    Type St Inode Path',
      '0000000000000000: 00000002 00000000 00000000 0002 01 4001 @kvfio-hand-over-11-70-1234-1',
      '0000000000000000: 00000002 00000000 00000000 0002 01 4002 @kvfio-hand-over-12-70-1234-1',
      '0000000000000000: 00000002 00000000 00000000 0002 01 4006 @kvfio-hand-over-12-60-1234-1',
      '0000000000000000: 00000002 00000000 00000000 0002 01 4003 /tmp/@kvfio-hand-over-11-70-1234-1',
      '0000000000000000: 00000002 00000000 00000000 0002 01 4004',
      '0000000000000000: 00000002 00000000 00000000 0002 01 4005 @kvfio-hand-over-11-x',
    ].join('\n');
    assert.deepEqual(
      deadHandOvers(text, (pid) => (pid === 12 ? 70 : null)),
      ['4001', '4006'],
    );
  });
});
