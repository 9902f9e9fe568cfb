import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import type {Context} from 'mocha';
import {made} from '../../support/made.js';
import {needs} from '../../support/needs.js';
import {rounds} from '../../support/pace.js';
import {PROJECT} from '../../support/run.js';
import {skip} from '../../support/skip.js';
import {scratch} from '../../vm/vmm.js';

/** Inputs of each kind; a run by hand with a million takes some minutes. */
const RUNS = Number(process.env['KVFIO_FUZZ_RUNS'] ?? rounds(2000));

describe('the header of the agent, whatever clients do', function () {
  this.timeout(600_000);
  let folder: ReturnType<typeof scratch>;
  made(() => {
    folder = scratch();
    mkdirSync(folder.path('found'));
    return folder;
  });

  /** Builds the driver with AddressSanitizer and UndefinedBehaviorSanitizer; a compiler without them is skipped by name. */
  const build = (context: Context, compiler: string, sanitizers: string, flags: string[]): string => {
    const program = folder.path(`fuzz-${compiler}`);
    const sanitize = [`-fsanitize=${sanitizers}`, '-fno-sanitize-recover=all'];
    const cc = (source: string[], input?: string): ReturnType<typeof spawnSync> =>
      spawnSync(compiler, ['-std=gnu11', '-O1', '-g', ...sanitize, '-o', program, ...source], {
        encoding: 'utf8',
        ...(input === undefined ? {} : {input}),
      });
    const empty = sanitizers.includes('fuzzer')
      ? '#include <stddef.h>\nint LLVMFuzzerTestOneInput(const char *d, size_t n) { (void)d; return n == 99; }'
      : 'int main(void) { return 0; }';
    const able = cc(['-x', 'c', '-'], empty);
    if (able.status !== 0)
      skip(context, `${compiler} cannot do -fsanitize=${sanitizers} (packages gcc and libclang-rt-dev)`);
    const warnings = ['-Wall', '-Wextra', '-Werror', `-I${join(PROJECT, 'src/owner/agent')}`];
    const {status, stderr} = cc([...warnings, ...flags, join(PROJECT, 'test/owner/agent/agent-fuzz.c')]);
    assert.equal(status, 0, String(stderr));
    return program;
  };

  it('holds what it should under random inputs, built by gcc', function () {
    needs(this, 'time');
    const program = build(this, 'gcc', 'address,undefined', ['-DALONE']);
    const {status, stdout, stderr} = spawnSync(program, [String(RUNS), '1'], {encoding: 'utf8'});
    assert.deepEqual([status, stdout], [0, `${RUNS}\n`], stderr);
  });

  it('holds what it should under the inputs that libFuzzer comes upon, built by clang', function () {
    needs(this, 'time');
    const program = build(this, 'clang', 'address,undefined,fuzzer', []);
    const flags = [`-runs=${RUNS * 5}`, '-seed=1', '-max_len=2048', '-len_control=0'];
    const {status, stderr} = spawnSync(program, [...flags, `-artifact_prefix=${folder.path('found')}/`], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    assert.match(stderr, new RegExp(`Done ${RUNS * 5} runs`));
  });
});
