import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {readElf} from '../../../src/linux/proc/elf.js';
import {parseProcessMaps} from '../../../src/linux/proc/maps.js';
import {parseProcessStat} from '../../../src/linux/proc/stat.js';
import {parseProcessStatus} from '../../../src/linux/proc/status.js';
import {Process} from '../../../src/linux/proc/process.js';
import {parseTaskSyscall} from '../../../src/linux/proc/syscall.js';

describe('/proc/PID/status', () => {
  it('is read by its keys', () => {
    const status = parseProcessStatus(
      [
        'Name:\tCPU 0/KVM',
        'State:\tt (tracing stop)',
        'Tgid:\t4711',
        'TracerPid:\t12',
        'Uid:\t0\t1000\t0\t0',
        'NSpid:\t4711\t7\t1',
        'CapEff:\t000001fffeffffff',
        'Seccomp:\t2',
        'Seccomp_filters:\t3',
        'x86_Thread_features:\tshstk wrss ',
      ].join('\n'),
    );
    assert.deepEqual(status, {
      name: 'CPU 0/KVM',
      state: 't',
      tgid: 4711,
      tracerPid: 12,
      uid: 1000,
      uids: [0, 1000, 0, 0],
      threads: null,
      resident: null,
      hugetlb: null,
      locked: null,
      nsPids: [4711, 7, 1],
      capEff: 0x1fffeffffffn,
      seccomp: 2,
      seccompFilters: 3,
      threadFeatures: ['shstk', 'wrss'],
    });
  });

  it('may lack lines, and have odd ones', () => {
    const unknown = parseProcessStatus('');
    assert.deepEqual(
      [unknown.name, unknown.state, unknown.tracerPid, unknown.seccomp, unknown.threadFeatures],
      ['', null, null, null, null],
    );
    assert.deepEqual(
      parseProcessStatus('x86_Thread_features:\t\nTgid:\t-1\nSeccomp: x\nno colon\n:\n').threadFeatures,
      [],
    );
  });

  it('is not deceived by a name, in which the kernel escapes newlines', () => {
    const status = parseProcessStatus('Name:\tx\\nTracerPid:\t0\nTracerPid:\t99\nTracerPid:\t0\n');
    assert.equal(status.tracerPid, 99);
    assert.equal(status.name, 'x\\nTracerPid:\t0');
  });
});

describe('/proc/PID/stat', () => {
  it('is read after the name, which may look like the rest', () => {
    const tail = ' 0 0 0 0 -1 2129984 0 0 0 0 0 1 0 0 20 0 7 0 24';
    assert.deepEqual(parseProcessStat(`2 (kthreadd) S${tail}`), {state: 'S', kernelThread: true, threads: 7});
    assert.deepEqual(parseProcessStat('9 (a) Z 1 (b)) S 1 9 9 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 3 0'), {
      state: 'S',
      kernelThread: false,
      threads: 3,
    });
  });

  it('may be cut off', () => {
    for (const text of ['', '12 (a)'])
      assert.deepEqual(parseProcessStat(text), {state: null, kernelThread: null, threads: null});
  });
});

describe('/proc/PID/task/TID/syscall', () => {
  it('is a call with its arguments, or none', () => {
    assert.deepEqual(parseTaskSyscall('16 0xd 0xae80 0x0 0xffffffffffffffff 0x0 0x0 0x7ffc0 0x7f00\n'), {
      kind: 'syscall',
      number: 16,
      args: [0xdn, 0xae80n, 0n, 0xffffffffffffffffn, 0n, 0n],
      sp: 0x7ffc0n,
      pc: 0x7f00n,
    });
    assert.deepEqual(parseTaskSyscall('running\n'), {kind: 'running'});
    assert.deepEqual(parseTaskSyscall('-1 0x7ffc0 0x7f00\n'), {kind: 'blocked'});
  });

  it('is nothing in any other form', () => {
    for (const text of [
      '',
      'walking',
      '16',
      '-1',
      '16 1 2 3 4 5 6 7 8',
      'x 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0',
      '0x10 '.repeat(9),
    ]) {
      assert.equal(parseTaskSyscall(text), null, text);
    }
  });
});

describe('/proc/PID/maps', () => {
  it('is a mapping per line, whatever its name', () => {
    const maps = parseProcessMaps(
      [
        '00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/a b\\012 (deleted)',
        '7ffd0000-7ffe0000 rw-p 00000000 00:00 0           [stack]',
        '7f0000000000-7f0000001000 ---s 00000000 00:00 0 ',
        'ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]',
        'not a mapping',
      ].join('\n'),
    );
    assert.deepEqual(
      maps.map(({name, readable, writable, executable}) => [name, readable, writable, executable]),
      [
        ['/usr/bin/a b\\012 (deleted)', true, false, true],
        ['[stack]', true, true, false],
        ['', false, false, false],
        ['[vsyscall]', false, false, true],
      ],
    );
    assert.deepEqual([maps[3]?.start, maps[3]?.end], [0xffffffffff600000n, 0xffffffffff601000n]);
  });
});

describe('An ELF file', () => {
  it('tells its class and its machine', () => {
    const bytes = readFileSync(process.execPath);
    const elf = readElf((offset, size) => bytes.subarray(offset, offset + size));
    assert.equal(elf?.bits, 64);
  });

  it('may be a script, empty, cut off, or of 32 bits', () => {
    const of = (bytes: Buffer) => readElf((offset, size) => bytes.subarray(offset, offset + size));
    assert.equal(of(Buffer.from('#!/bin/sh\n')), null);
    assert.equal(of(Buffer.alloc(0)), null);
    const small = Buffer.alloc(52);
    small.write('\x7fELF\x01', 'latin1');
    small.writeUInt16LE(3, 18);
    assert.deepEqual(of(small), {bits: 32, machine: 3});
    assert.equal(of(small.subarray(0, 51)), null);
  });
});

describe('A process', () => {
  it('has its own threads, and no others', () => {
    const self = new Process(process.pid);
    assert.ok(self.tasks().every((tid) => self.has(tid)));
    assert.equal(self.has(process.ppid), false);
  });

  const own = new Process(process.pid);

  it('is what /proc shows of it', () => {
    assert.equal(own.status().tgid, process.pid);
    assert.ok(own.tasks().includes(process.pid) && own.tasks().length > 1);
    assert.equal(own.cmdline()[0], process.argv0);
    assert.ok(own.maps().some(({name, executable}) => name === process.execPath && executable));
    assert.ok(own.descriptors().size >= 3);
    assert.equal(own.mayHaveFiles(), true);
    assert.equal(own.elf()?.bits, 64);
    assert.equal(own.syscall(process.pid)?.kind, 'syscall', 'that of reading it');
    assert.ok(own.memory(own.maps()[0]?.start ?? 0n, 4).equals(Buffer.from('\x7fELF', 'latin1')));
  });

  it('that does not exist is an error with the path', () => {
    assert.throws(() => new Process(2 ** 22 - 1).status(), {
      name: 'SyscallError',
      code: 'ENOENT',
      path: '/proc/4194303/status',
    });
    assert.throws(() => own.descriptor(4711), {code: 'ENOENT'});
  });
});
