import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {existsSync} from 'node:fs';
import {sameFile, shareDescriptors} from '../../../src/linux/proc/kcmp.js';
import {ProcessMemory} from '../../../src/linux/memory.js';
import {Pidfd} from '../../../src/linux/proc/pidfd.js';
import {Process} from '../../../src/linux/proc/process.js';
import {PTRACE, PTRACE_SINCE_6_4, Tracee, parseWaitStatus} from '../../../src/linux/trace/ptrace.js';
import {Registers, USER_REGS} from '../../../src/linux/trace/registers.js';
import {SYSCALLS_X64} from '../../../src/linux/syscalls.js';
import {valuesOfC} from '../../support/c-values.js';
import {needs} from '../../support/needs.js';
import {skip} from '../../support/skip.js';

describe('A status of wait4', () => {
  it('is a stop of one kind or the end', () => {
    assert.deepEqual(parseWaitStatus(0x857f), {kind: 'syscall'});
    assert.deepEqual(parseWaitStatus(0x80057f), {kind: 'interrupted'});
    assert.deepEqual(parseWaitStatus(0x80137f), {kind: 'group-stop', signal: 19});
    assert.deepEqual(parseWaitStatus(0x0e7f), {kind: 'signal', signal: 14});
    assert.deepEqual(parseWaitStatus(0x057f), {kind: 'signal', signal: 5});
    assert.deepEqual(parseWaitStatus(0x0009), {kind: 'gone'});
    assert.deepEqual(parseWaitStatus(0x0100), {kind: 'gone'});
  });
});

describe('Registers', () => {
  const words = BigUint64Array.from(USER_REGS, (_, index) => BigInt(index) << 40n);

  it('come and go byte for byte, and changes make others', () => {
    const registers = new Registers(words);
    const changed = registers.with({rax: -512n, rip: 0xffffffffffffffffn});
    const copy = new BigUint64Array(USER_REGS.length);
    registers.copyTo(copy);
    assert.deepEqual(copy, words);
    assert.equal(changed.get('rax'), 2n ** 64n - 512n);
    assert.equal(changed.getSigned('rax'), -512);
    assert.equal(registers.get('gs'), 26n << 40n);
  });
});

describe('Numbers of ptrace and of system calls', () => {
  it('agree with the headers of this machine', function () {
    if (!existsSync('/usr/include/linux/ptrace.h'))
      skip(this, 'there is no linux/ptrace.h (package linux-libc-dev)');
    const expected: Record<string, number> = {
      ...PTRACE,
      ...Object.fromEntries(Object.entries(SYSCALLS_X64).map(([name, number]) => [`SYS_${name}`, number])),
      ...Object.fromEntries(
        USER_REGS.map((name, index) => [`offsetof(struct user_regs_struct, ${name})`, index * 8]),
      ),
      'offsetof(struct rseq, rseq_cs)': 8,
    };
    const found = valuesOfC(HEADERS, Object.keys(expected));
    const calls = Object.keys(expected).map((name, index) =>
      name.startsWith('SYS_') ? (found[index] ?? 0) : 0,
    );
    for (const [index, [name, number]] of Object.entries(expected).entries())
      if (found[index] !== undefined) assert.equal(found[index], number, name);
      else assert.ok(name.startsWith('SYS_') && number > Math.max(...calls), name);
    // headers that do not know it yet have nothing else there
    for (const [name, number] of Object.entries(PTRACE_SINCE_6_4))
      assert.ok(!Object.values<number>(PTRACE).includes(number), name);
  });
});

describe('A traced thread', () => {
  it('is stopped, looked at, and let go', async function () {
    needs(this, 'x64');
    const child = spawn('cat', {stdio: ['pipe', 'pipe', 'ignore']});
    const pid = child.pid ?? -1;
    try {
      while (new Process(pid).syscall(pid)?.kind !== 'syscall');
      const thread = new Tracee(pid);
      thread.seize(0);
      assert.throws(
        () => {
          new Tracee(pid).seize(0);
        },
        {syscall: 'ptrace(PTRACE_SEIZE)', code: 'EPERM'},
      );
      assert.throws(() => thread.registers(), {syscall: 'ptrace(PTRACE_GETREGS)', code: 'ESRCH'});
      thread.interrupt();
      assert.deepEqual(thread.waitUntil(performance.now() + 5000), {kind: 'interrupted'});
      assert.equal(thread.registers().get('orig_rax'), 0n, 'in read');
      assert.equal(thread.waitUntil(performance.now()), null);
      thread.detach();
      child.stdin.end('still there');
      let text = '';
      for await (const part of child.stdout) text += String(part);
      assert.equal(text, 'still there');
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('that does not exist is refused', () => {
    assert.throws(
      () => {
        new Tracee(2 ** 22 - 1).seize(0);
      },
      {code: 'ESRCH'},
    );
    assert.deepEqual(new Tracee(2 ** 22 - 1).waitUntil(0), {kind: 'gone'});
  });
});

describe('A pidfd', () => {
  it('hands out descriptors that are the same open file', () => {
    using own = Pidfd.open(process.pid);
    using copy = own.getfd(0);
    assert.ok(sameFile(process.pid, 0, process.pid, copy.fd));
    assert.equal(own.exited, false);
    assert.throws(() => own.getfd(4711), {syscall: 'pidfd_getfd', code: 'EBADF'});
    assert.throws(() => Pidfd.open(2 ** 22 - 1), {syscall: 'pidfd_open', code: 'ESRCH'});
    assert.throws(() => sameFile(process.pid, 0, process.pid, 4711), {code: 'EBADF'});
    for (const tid of new Process(process.pid).tasks()) assert.ok(shareDescriptors(process.pid, tid));
  });
});

describe('The memory of a process', () => {
  it('is read and written whole or not at all, and a page that the process may not read is not usable', () => {
    using memory = new ProcessMemory(process.pid, 8192);
    const maps = new Process(process.pid).maps();
    const code = maps.find(({name}) => name === process.execPath)?.start ?? 0n;
    assert.ok(memory.holds({address: code, bytes: Buffer.from('\x7fELF', 'latin1')}));
    assert.ok(!memory.holds({address: code, bytes: Buffer.from('MZ')}));
    assert.ok(!memory.holds({address: 0n, bytes: Buffer.from('MZ')}));
    assert.throws(() => memory.read(0n, 8), {code: 'EIO'});
    assert.ok(memory.usable([{address: code, size: 4096}]).equals(memory.read(code, 4096)));
    const places = [
      {address: code + 1n, size: 3},
      {address: code, size: 1},
    ] as const;
    assert.equal(memory.usable(places).toString('latin1'), 'ELF\x7f');
    const guard = maps.find(
      ({readable, end}, index) => !readable && maps[index + 1]?.start === end && maps[index + 1]?.readable,
    );
    assert.ok(guard !== undefined, 'a thread of Node has a guard page');
    assert.equal(memory.usable([{address: guard.end, size: 64}]).length, 64);
    const overGuard = {address: guard.end - 64n, size: 128};
    assert.equal(memory.usable([overGuard]).length, 0);
    assert.equal(memory.usable([{address: 0n, size: 8}]).length, 0);
    // what is there of the places before is read
    assert.equal(memory.usable([{address: code, size: 8}, overGuard]).length, 8);
    assert.equal(memory.usable([overGuard, {address: code, size: 8}]).length, 0);
  });
});

const HEADERS = `
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <linux/ptrace.h>
#include <asm/ptrace-abi.h>
#include <linux/rseq.h>
#define PTRACE_CONT 7
#define PTRACE_SYSCALL 24
`;
