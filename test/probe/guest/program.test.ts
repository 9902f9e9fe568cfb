import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {writeFileSync} from 'node:fs';
import {setGuestMemory, Vcpu, VcpuExits} from '../../../src/kvm/vcpu.js';
import {Kvm} from '../../../src/kvm/system.js';
import {addressOf} from '../../../src/linux/libc.js';
import {mapIdentically} from '../../../src/kvm/long-mode.js';
import {assemble, program, type Instruction} from '../../../src/probe/guest/program.js';
import {OPERATIONS} from '../../../src/probe/series.js';
import {needs} from '../../support/needs.js';
import {scratch} from '../../vm/vmm.js';

const LARGE_PAGE = 2 * 1024 * 1024;

describe("the probe's guest program", () => {
  it('is what its tables say, as a disassembler reads it', function () {
    needs(this, 'objdump');
    for (const operation of OPERATIONS) {
      const instructions = program(operation);
      assert.deepEqual(disassembled(assemble(instructions)), listed(instructions), operation);
    }
  });

  it('writes to each cache line of the memory that is to be dirty, and to nothing behind it', function () {
    needs(this, 'x64', 'kvm');
    const size = 4 * LARGE_PAGE;
    const room = new ArrayBuffer(size + LARGE_PAGE);
    const offset = Number(-addressOf(Buffer.from(room)) & BigInt(LARGE_PAGE - 1));
    const memory = Buffer.from(room, offset, size);
    assemble(program('empty')).copy(memory, 0x1000);
    mapIdentically(memory.subarray(0x10000, 0x20000), 0x10000, size);
    using kvm = Kvm.open();
    using vm = kvm.createVm();
    setGuestMemory(vm, addressOf(memory), size);
    using vcpu = Vcpu.create(vm.fd);
    vcpu.startInLongMode(0x10000);
    const [samples, dirty, lines] = [LARGE_PAGE, 2 * LARGE_PAGE, 100];
    memory.fill(0xff, dirty, dirty + 64 * lines + 64);
    vcpu.setRegisters({rip: 0x1000, rsi: 1, rdi: samples, r12: dirty, r13: 64 * lines});
    vcpu.run();
    using exits = new VcpuExits(vcpu, kvm.vcpuMappingSize());
    assert.equal(exits.last().name, 'KVM_EXIT_HLT');
    for (let line = 0; line < lines; line += 1)
      assert.equal(memory.readBigUInt64LE(dirty + 64 * line), BigInt(64 * line));
    assert.equal(memory.readBigUInt64LE(dirty + 64 * lines), 0xffff_ffff_ffff_ffffn);
    assert.ok(memory.readBigUInt64LE(samples) > 0n);
    assert.equal(memory.readBigUInt64LE(samples + 8), 0n);
  });

  it('has the operation alone between two fences and two readings of the time-stamp counter', () => {
    const texts = program('wbinvd').map(([, text]) => text);
    const at = texts.indexOf('wbinvd');
    assert.equal(texts[at - 1], 'lfence');
    assert.equal(texts[at + 1], 'lfence');
    assert.deepEqual(
      texts.filter((text) => text === 'rdtsc'),
      ['rdtsc', 'rdtsc'],
    );
    assert.deepEqual(
      program('empty').map(([, text]) => text),
      texts.filter((text) => text !== 'wbinvd'),
    );
  });
});

/** `offset bytes text` for each instruction. */
const listed = (instructions: readonly Instruction[]): string[] => {
  let at = 0;
  return instructions.map(([bytes, text]) => {
    const line = `${at.toString(16)}: ${Buffer.from(bytes).toString('hex')} ${text}`;
    at += bytes.length;
    return line;
  });
};

const disassembled = (code: Buffer): string[] => {
  using folder = scratch();
  const file = folder.path('program');
  writeFileSync(file, code);
  const {stdout} = spawnSync(
    'objdump',
    ['-D', '-b', 'binary', '-m', 'i386:x86-64', '-M', 'intel', '-w', file],
    {
      encoding: 'utf8',
    },
  );
  return stdout.split('\n').flatMap((line) => {
    const [, offset = '', bytes = '', text = ''] =
      /^\s*([0-9a-f]+):\s+((?:[0-9a-f]{2} )+)\s*(.*)$/.exec(line) ?? [];
    return offset === ''
      ? []
      : [`${offset}: ${bytes.replaceAll(' ', '')} ${text.trim().replace(/\s+/g, ' ')}`];
  });
};
