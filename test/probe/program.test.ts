import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {writeFileSync} from 'node:fs';
import {assemble, program, type Instruction} from '../../src/probe/guest/program.js';
import {OPERATIONS} from '../../src/probe/series.js';
import {skip} from '../support/skip.js';
import {scratch} from '../vm/vmm.js';

describe("the probe's guest program", () => {
  it('is what its tables say, as a disassembler reads it', function () {
    if (spawnSync('objdump', ['--version']).error !== undefined) skip(this, 'there is no objdump (binutils)');
    for (const operation of OPERATIONS) {
      const instructions = program(operation);
      assert.deepEqual(disassembled(assemble(instructions)), listed(instructions), operation);
    }
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
