import assert from 'node:assert/strict';
import {Deadline} from '../../src/linux/deadline.js';
import {KVM_EXITS, KvmExit} from '../../src/kvm/exits.js';
import {ProbeMachine, SLICE_MAX} from '../../src/probe/machine.js';
import {HostCpus, listOf} from '../../src/probe/sampling/host-cpus.js';
import {sample, type SampleOptions} from '../../src/probe/sampling/sample.js';
import {SliceSize} from '../../src/probe/sampling/slice-size.js';
import type {Operation} from '../../src/probe/series.js';
import {supportsWbnoinvd} from '../../src/probe/wbnoinvd.js';
import {allowedCpus, currentCpu} from '../../src/linux/affinity.js';
import {descriptors} from '../support/descriptors.js';
import {needs} from '../support/needs.js';
import {skip} from '../support/skip.js';

describe("the probe's machine", () => {
  it('takes exactly as many samples as asked, each of a plausible time', function () {
    needs(this, 'x64', 'kvm');
    using machine = ProbeMachine.create();
    assert.ok(machine.clock.tscKhz > 1e5, `${machine.clock.tscKhz} kHz`);
    for (const operation of ['wbinvd', 'cpuid', 'pio', 'empty'] as const) {
      const ticks = new Float64Array(1002).fill(-1);
      assert.equal(machine.take(operation, 1000, ticks, 1), 1000);
      assert.equal(ticks[0], -1);
      assert.equal(ticks[1001], -1);
      assert.ok(
        ticks.subarray(1, 1001).every((each) => each > 0 && each < machine.clock.tscKhz * 60_000),
        operation,
      );
    }
  });

  it('makes KVM answer as many OUTs as there are samples of pio, and none of others', function () {
    needs(this, 'x64', 'kvm');
    using machine = ProbeMachine.create();
    const ticks = new Float64Array(777);
    machine.take('pio', 777, ticks, 0);
    assert.equal(machine.takeOuts(), 777n);
    machine.take('wbinvd', 100, ticks, 0);
    assert.equal(machine.takeOuts(), 0n);
  });

  it('leaves no descriptor open', function () {
    needs(this, 'x64', 'kvm');
    ProbeMachine.create()[Symbol.dispose]();
    const before = descriptors();
    ProbeMachine.create()[Symbol.dispose]();
    assert.deepEqual(descriptors(), before);
  });
});

describe('sampling', () => {
  const options = (changed: Partial<SampleOptions>): Omit<SampleOptions, 'cpus'> => ({
    phase: 'alone',
    operations: ['wbinvd', 'cpuid'],
    samples: 500,
    warmup: 10,
    spread: 0,
    deadline: Deadline.never,
    signal: new AbortController().signal,
    gentle: false,
    onProgress: () => undefined,
    ...changed,
  });

  it('interleaves operations, and counts what it executed', async function () {
    needs(this, 'x64', 'kvm');
    using machine = ProbeMachine.create();
    using cpus = new HostCpus({cpu: undefined, visited: undefined});
    const result = await sample(machine, {...options({}), cpus});
    assert.deepEqual(
      result.series.map(({operation, ticks}) => [operation, ticks.length, ticks.every((each) => each > 0)]),
      [
        ['wbinvd', 500, true],
        ['cpuid', 500, true],
      ],
    );
    assert.equal(result.operations, 2 * 510);
    assert.equal(result.ended, 'complete');
    assert.ok(result.slices > 8, 'slices begin with one sample and grow');
    assert.ok(result.guestSeconds <= result.seconds);
    assert.ok(cpus.seen.length > 0);
  });

  it('ends when the user wants it, with what there is', async function () {
    needs(this, 'x64', 'kvm');
    using machine = ProbeMachine.create();
    using cpus = new HostCpus({cpu: undefined, visited: undefined});
    const ending = new AbortController();
    const result = await sample(machine, {
      ...options({samples: 1_000_000, signal: ending.signal}),
      cpus,
      onProgress: (taken) => {
        if (taken > 100) ending.abort();
      },
    });
    assert.equal(result.ended, 'interrupted');
    const [{ticks} = {ticks: new Float64Array()}] = result.series;
    assert.ok(ticks.length > 0 && ticks.length < 1_000_000);
    assert.ok(ticks.every((each) => each > 0));
  });

  it('ends when the time is over', async function () {
    needs(this, 'x64', 'kvm');
    using machine = ProbeMachine.create();
    using cpus = new HostCpus({cpu: undefined, visited: undefined});
    const result = await sample(machine, {
      ...options({samples: 1_000_000, deadline: Deadline.after(100)}),
      cpus,
    });
    assert.equal(result.ended, 'duration');
  });

  it('spreads samples over the time that it is told, and lets the guest get warm after each pause', async function () {
    needs(this, 'x64', 'kvm');
    using machine = ProbeMachine.create();
    using cpus = new HostCpus({cpu: undefined, visited: undefined});
    const spreading = (spread: number): ReturnType<typeof sample> =>
      sample(machine, {...options({samples: 400, spread, operations: ['wbinvd']}), cpus});
    // so that there are pauses, however slow this machine is
    const spread = 0.3 + 5 * (await spreading(0)).seconds;
    const result = await spreading(spread);
    // the last of 40 rounds begins before the end of the spread
    assert.ok(result.seconds >= (spread * 39) / 40 - 0.01, `${result.seconds} of ${spread}`);
    assert.equal(result.series[0]?.ticks.length, 400);
    const lead = result.operations - 410;
    assert.ok(lead > 0 && lead % 5 === 0 && lead <= 39 * 5, String(result.operations));
  });

  it('survives signals that come while the guest runs', async function () {
    needs(this, 'x64', 'kvm');
    using machine = ProbeMachine.create();
    using cpus = new HostCpus({cpu: undefined, visited: undefined});
    let heard = 0;
    const hear = (): void => {
      heard += 1;
    };
    process.on('SIGUSR2', hear);
    const storm = setInterval(() => process.kill(process.pid, 'SIGUSR2'), 1);
    try {
      const {series, ended} = await sample(machine, {...options({samples: 5000}), cpus});
      assert.equal(ended, 'complete');
      for (const {ticks} of series) assert.ok(ticks.length === 5000 && ticks.every((each) => each > 0));
      assert.ok(heard > 0);
    } finally {
      clearInterval(storm);
      process.off('SIGUSR2', hear);
    }
  });

  it('moves the vCPU over CPUs of the host before each sample, and back', async function () {
    needs(this, 'x64', 'kvm');
    const allowed = allowedCpus();
    if (allowed.length < 2) skip(this, 'this process may use one CPU only');
    using machine = ProbeMachine.create();
    {
      using cpus = new HostCpus({cpu: allowed[1], visited: 2});
      assert.deepEqual(cpus.others, [allowed[0]]);
      const {series} = await sample(machine, {...options({samples: 20, operations: ['wbinvd']}), cpus});
      assert.equal(series[0]?.ticks.length, 20);
      assert.deepEqual(cpus.seen, [allowed[1]]);
      assert.equal(currentCpu(), allowed[1]);
    }
    assert.deepEqual(allowedCpus(), allowed, 'the affinity is as before');
  });

  it('gives all operations slices of one size, which the most expensive one decides and which grows slowly', () => {
    const size = new SliceSize(20);
    const next = (): number => size.next();
    assert.equal(next(), 4);
    const cost = (operation: Operation, each: number): void => {
      size.took(operation, 10, 10 * each);
    };
    cost('cpuid', 0.001);
    assert.equal(next(), 16);
    cost('wbinvd', 2);
    assert.equal(next(), 10);
    cost('wbinvd', 500);
    assert.equal(next(), 1, 'one sample may take longer than a slice should');
    cost('wbinvd', 1e-9);
    cost('cpuid', 1e-9);
    for (let round = 0; round < 20; round += 1) next();
    assert.equal(next(), SLICE_MAX);
  });
});

describe('CPUs of the host', () => {
  it('are refused by their reason', () => {
    assert.throws(() => new HostCpus({cpu: 8000, visited: undefined}), {
      code: 'CPU_NOT_USABLE',
      kind: 'notFound',
      why: 'This machine has no CPU 8000.',
    });
    assert.throws(() => new HostCpus({cpu: undefined, visited: 8000}), {code: 'TOO_FEW_CPUS'});
  });

  it('are listed in ranges', () => {
    assert.equal(listOf([0, 1, 2, 5, 7, 8]), '0-2,5,7-8');
    assert.equal(listOf([]), '');
  });
});

describe('why KVM_RUN returned', () => {
  const exit = (reason: number, fill: (head: Buffer) => void = () => undefined): string => {
    const head = Buffer.alloc(64);
    head.writeUInt32LE(reason, 8);
    fill(head);
    return new KvmExit(head).describe();
  };

  it('is told by its name, with what the kernel adds', () => {
    assert.equal(exit(KVM_EXITS.KVM_EXIT_HLT), 'KVM_EXIT_HLT');
    assert.equal(exit(KVM_EXITS.KVM_EXIT_SHUTDOWN), 'KVM_EXIT_SHUTDOWN, a triple fault of the guest');
    assert.equal(
      exit(KVM_EXITS.KVM_EXIT_INTERNAL_ERROR, (head) => head.writeUInt32LE(1, 32)),
      'KVM_EXIT_INTERNAL_ERROR, KVM_INTERNAL_ERROR_EMULATION',
    );
    assert.equal(
      exit(KVM_EXITS.KVM_EXIT_FAIL_ENTRY, (head) => head.writeBigUInt64LE(0x80000021n, 32)),
      'KVM_EXIT_FAIL_ENTRY, hardware entry failure reason 0x80000021',
    );
    assert.equal(
      exit(KVM_EXITS.KVM_EXIT_IO, (head) => head.writeUInt16LE(0xf4, 34)),
      'KVM_EXIT_IO at port 0xf4',
    );
    assert.equal(exit(4711), 'exit reason 4711');
  });
});

describe('WBNOINVD', () => {
  it('is bit 9 of EBX of leaf 0x80000008', () => {
    const cpuid = (ebx: number, leaf = 0x80000008): Buffer => {
      const bytes = Buffer.alloc(8 + 2 * 40);
      bytes.writeUInt32LE(2, 0);
      bytes.writeUInt32LE(leaf, 48);
      bytes.writeUInt32LE(ebx, 64);
      return bytes;
    };
    assert.equal(supportsWbnoinvd(cpuid(1 << 9)), true);
    assert.equal(supportsWbnoinvd(cpuid(~(1 << 9) >>> 0)), false);
    assert.equal(supportsWbnoinvd(cpuid(1 << 9, 0x80000007)), false);
    assert.equal(supportsWbnoinvd(Buffer.alloc(8)), false);
  });
});
