import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync} from 'node:fs';
import {basename} from 'node:path';
import fc from 'fast-check';
import {Chalk} from 'chalk';
import {Failure} from '../../../src/failure.js';
import {Deadline} from '../../../src/linux/deadline.js';
import {processStart} from '../../../src/linux/proc/start-time.js';
import {againstLines} from '../../../src/cli/answers/against-text.js';
import {fieldReader, parseEventFormat} from '../../../src/probe/against/event-format.js';
import {parseExitHistogram} from '../../../src/probe/against/exit-counter.js';
import {findVm} from '../../../src/probe/against/find-vm.js';
import {measureAgainst, type AgainstDocument} from '../../../src/probe/against/measure-against.js';
import {Thinned} from '../../../src/probe/against/thinned.js';
import {
  parseStatistics,
  removeStaleInstances,
  TraceInstance,
} from '../../../src/probe/against/trace-instance.js';
import {parseTracePage} from '../../../src/probe/against/trace-page.js';
import {findTracefs} from '../../../src/probe/against/tracefs.js';
import {made} from '../../support/made.js';
import {needs} from '../../support/needs.js';
import {skip} from '../../support/skip.js';
import {STEERING} from '../../support/steering.js';
import {failsWith, scratch, startKvfioVm} from '../../vm/vmm.js';
import {MACHINE} from '../documents.js';

const FORMAT = `name: kvm_exit
ID: 103
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:unsigned int exit_reason;\toffset:8;\tsize:4;\tsigned:0;
\tfield:char comm[16];\toffset:12;\tsize:16;\tsigned:0;
\tfield:unsigned int vcpu_id;\toffset:56;\tsize:4;\tsigned:0;

print fmt: "vcpu %u", REC->vcpu_id
`;

/** A page with events whose payload is given, each a while after the one before. */
const page = (start: bigint, events: readonly {after: number; data: Buffer}[], flags = 0): Buffer => {
  const parts = events.map(({after, data}) => {
    const extend =
      after >= 2 ** 27 ? [word((after % 2 ** 27) * 32 + 30), word(Math.floor(after / 2 ** 27))] : [];
    const delta = extend.length > 0 ? 0 : after;
    const long = data.length > 28 * 4;
    return Buffer.concat([
      ...extend,
      word(delta * 32 + (long ? 0 : data.length / 4)),
      ...(long ? [word(data.length + 4)] : []),
      data,
    ]);
  });
  const body = Buffer.concat(parts);
  const header = Buffer.alloc(16);
  header.writeBigUInt64LE(start, 0);
  header.writeUInt32LE((body.length | flags) >>> 0, 8);
  return Buffer.concat([header, body]);
};

const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};

const record = (type: number, size: number): Buffer => {
  const bytes = Buffer.alloc(size);
  bytes.writeUInt16LE(type);
  return bytes;
};

describe('a page of the tracer', () => {
  it('gives back each event with its time, also after long pauses', () => {
    fc.assert(
      fc.property(
        fc.bigInt({min: 0n, max: 2n ** 52n}),
        fc.array(
          fc.record({
            after: fc.oneof(fc.integer({min: 0, max: 2 ** 27 - 1}), fc.integer({min: 2 ** 27, max: 2 ** 40})),
            type: fc.integer({min: 1, max: 65_535}),
            size: fc.integer({min: 1, max: 50}).map((words) => words * 4),
          }),
          {maxLength: 30},
        ),
        (start, wanted) => {
          const {events, lostBefore} = parseTracePage(
            page(
              start,
              wanted.map(({after, type, size}) => ({after, data: record(type, size)})),
            ),
          );
          let time = Number(start);
          const expected = wanted.map(({after, type}) => ({time: (time += after), type}));
          assert.deepEqual(
            events.map((event) => ({time: event.time, type: event.type})),
            expected,
          );
          assert.equal(lostBefore, false);
        },
      ),
    );
  });

  it('says that events were lost before it, and ends at its padding', () => {
    const data = {after: 5, data: record(7, 8)};
    const whole = page(100n, [data, {after: 0, data: record(7, 8)}], 1 << 31);
    assert.equal(parseTracePage(whole).lostBefore, true);
    whole.writeUInt32LE(29, 16 + 12);
    assert.deepEqual(parseTracePage(whole).events, [{time: 105, offset: 20, type: 7}]);
  });

  it('takes the whole time from a time stamp', () => {
    const stamp = (1n << 58n) + 12_345n;
    const body = Buffer.concat([
      word(Number(stamp & 0x7ff_ffffn) * 32 + 31),
      word(Number(stamp >> 27n)),
      word(2),
      record(9, 8),
    ]);
    const header = Buffer.alloc(16);
    header.writeUInt32LE(body.length, 8);
    assert.deepEqual(parseTracePage(Buffer.concat([header, body])).events[0]?.time, Number(stamp));
  });

  it('is refused, not misread, when it is damaged', () => {
    const good = page(1n, [
      {after: 1, data: record(3, 40)},
      {after: 2, data: record(3, 200)},
    ]);
    fc.assert(
      fc.property(fc.integer({min: 0, max: good.length - 1}), fc.integer({min: 0, max: 255}), (at, byte) => {
        const damaged = Buffer.from(good);
        damaged[at] = byte;
        try {
          for (const {offset} of parseTracePage(damaged).events) assert.ok(offset + 4 <= damaged.length);
        } catch (error) {
          assert.match(String(error), /trace page/);
        }
      }),
      {numRuns: 1000},
    );
  });
});

describe('what the tracer tells', () => {
  it('is where the fields of an event are', () => {
    const format = parseEventFormat(FORMAT);
    assert.equal(format.id, 103);
    assert.deepEqual(format.fields.get('comm'), {offset: 12, size: 16});
    const bytes = Buffer.alloc(80);
    bytes.writeUInt32LE(3, 10 + 56);
    assert.equal(fieldReader(format, 'vcpu_id')(bytes, 10), 3);
    assert.throws(() => fieldReader(format, 'isa'), /no field isa/);
    assert.throws(() => parseEventFormat('hello'), /not the format/);
  });

  it('is how many exits a histogram has, by thread and vCPU', () => {
    const text = `# event histogram
#
# trigger info: hist:keys=common_pid,vcpu_id:vals=hitcount:sort=hitcount:size=4096 if isa==2 [active]
#

{ common_pid:       1234, vcpu_id:          0 } hitcount:        256
{ common_pid:       1235, vcpu_id:         17 } hitcount:     100000

Totals:
    Hits: 100256
    Entries: 2
    Dropped: 5
`;
    assert.deepEqual(parseExitHistogram(text), {
      entries: [
        {thread: 1234, vcpu: 0, hits: 256},
        {thread: 1235, vcpu: 17, hits: 100_000},
      ],
      dropped: 5,
    });
  });

  it('is how many events a buffer has seen, whatever became of them', () => {
    const text =
      'entries: 10\noverrun: 200\ncommit overrun: 1\nbytes: 400\noldest event ts: 1.0\nnow ts: 2.0\ndropped events: 3\nread events: 4000\n';
    assert.deepEqual(parseStatistics(text), {written: 4214, lost: 204});
  });
});

describe('values that are too many', () => {
  it('are thinned out evenly, and counted all the same', () => {
    fc.assert(
      fc.property(fc.integer({min: 0, max: 2000}), fc.integer({min: 2, max: 64}), (count, half) => {
        const thinned = new Thinned(half * 2);
        for (let value = 0; value < count; value += 1) thinned.add(value);
        assert.equal(thinned.count, count);
        const kept = [...thinned.kept];
        assert.ok(kept.length <= half * 2 && (count === 0 || kept.length >= Math.min(count, half)));
        const stride = (kept[1] ?? 1) - (kept[0] ?? 0);
        for (const [index, value] of kept.entries()) assert.equal(value, index * stride);
      }),
    );
  });
});

describe('the tracer of this machine', () => {
  it('is missing by name, with exit code 8', async () => {
    using folder = scratch();
    await failsWith(() => findTracefs([folder.path('none')]), 'NO_TRACEFS', 8, /not mounted/);
    mkdirSync(folder.path('instances'));
    await failsWith(() => findTracefs([folder.path('.')]), 'NO_KVM_EVENTS', 8, /kvm_exit is missing/);
  });

  it('is for root only, with exit code 8', async function () {
    needs(this, 'root');
    using folder = scratch();
    mkdirSync(folder.path('tracing/instances'), {recursive: true});
    mkdirSync(folder.path('tracing'), {recursive: true, mode: 0o700});
    process.seteuid?.(65_534);
    try {
      await failsWith(() => findTracefs([folder.path('tracing')]), 'TRACEFS_NOT_PERMITTED', 8, /EACCES/);
    } finally {
      process.seteuid?.(0);
    }
  });

  it('gives an instance of its own, which is gone afterwards, also that of a killed kvfio', async function () {
    const tracefs = usableTracefs(this);
    const option = (): string => readFileSync(`${tracefs}/options/record-cmd`, 'utf8');
    const before = option();
    let folder = '';
    {
      using instance = new TraceInstance(tracefs, 'test');
      folder = instance.folder;
      assert.ok(existsSync(folder));
      assert.match(instance.read('trace_clock'), /\[mono\]/);
      assert.ok(instance.cpus.length > 0);
      assert.equal(instance.nextPage(instance.cpus[0] ?? 0), null, 'nothing is traced yet');
      removeStaleInstances(tracefs);
      assert.ok(existsSync(folder), 'this process is alive');
      await failsWith(() => new TraceInstance(tracefs, 'test'), 'TRACER_REFUSED', 6, /EEXIST/);
      await failsWith(
        () => {
          instance.write('trace_clock', 'sundial');
        },
        'TRACER_REFUSED',
        6,
        /EINVAL to "sundial"/,
      );
    }
    assert.equal(existsSync(folder), false);
    assert.equal(option(), before);
    const stale = `${tracefs}/instances/kvfio-${process.pid}-1-test`;
    mkdirSync(stale);
    removeStaleInstances(tracefs);
    assert.equal(existsSync(stale), false);
  });

  it("turns the tracer's option on again that a killed kvfio had turned off, and only that one's", function () {
    using folder = scratch();
    mkdirSync(folder.path('instances'));
    mkdirSync(folder.path('options'));
    const option = folder.path('options/record-cmd');
    writeFileSync(option, '0\n');
    const mine = folder.path(`instances/kvfio-${process.pid}-${processStart(process.pid)}-namesoff`);
    mkdirSync(mine);
    mkdirSync(folder.path('instances/kvfio-4000000-1-time'));
    removeStaleInstances(folder.path('.'));
    assert.equal(readFileSync(option, 'utf8'), '0\n', 'a kvfio that lives turns it on itself');
    assert.ok(existsSync(mine));
    mkdirSync(folder.path('instances/kvfio-4000000-1-namesoff'));
    removeStaleInstances(folder.path('.'));
    assert.equal(readFileSync(option, 'utf8'), '1');
    assert.deepEqual(readdirSync(folder.path('instances')), [basename(mine)]);
  });

  it("leaves the tracer's option alone while anybody traces events", async function () {
    for (const enabled of ['X', '1', '0']) {
      for (const tracer of ['.', 'instances/other']) {
        using folder = scratch();
        for (const name of ['instances/other/events', 'events', 'options'])
          mkdirSync(folder.path(name), {recursive: true});
        writeFileSync(folder.path('events/header_page'), '');
        for (const each of ['.', 'instances/other'])
          writeFileSync(folder.path(`${each}/events/enable`), `${each === tracer ? enabled : '0'}\n`);
        const option = folder.path('options/record-cmd');
        writeFileSync(option, '1\n');
        // no tracer: what the instance wrote keeps its folder from being removed
        await failsWith(
          () => {
            new TraceInstance(folder.path('.'), 'test')[Symbol.dispose]();
          },
          'TRACER_NOT_REMOVED',
          6,
        );
        assert.equal(readFileSync(option, 'utf8'), enabled === '0' ? '1' : '1\n', `${enabled} in ${tracer}`);
      }
    }
  });

  it('delivers the events that were written, with times of this clock', function () {
    const tracefs = usableTracefs(this);
    using instance = new TraceInstance(tracefs, 'test');
    const began = Number(process.hrtime.bigint());
    for (let count = 0; count < 500; count += 1) instance.write('trace_marker', 'kvfio');
    const ended = Number(process.hrtime.bigint());
    const times: number[] = [];
    for (const cpu of instance.cpus) {
      for (let next = instance.nextPage(cpu); next !== null; next = instance.nextPage(cpu))
        times.push(...parseTracePage(next).events.map(({time}) => time));
    }
    assert.equal(times.length, 500);
    assert.ok(times.every((time) => began <= time && time <= ended));
    assert.deepEqual(instance.statistics(), {written: 500, lost: 0});
  });

  it('keeps count of what it had no room for', function () {
    const tracefs = usableTracefs(this);
    using instance = new TraceInstance(tracefs, 'test');
    instance.write('buffer_size_kb', '4');
    const text = 'x'.repeat(500);
    for (let count = 0; count < 200; count += 1) instance.write('trace_marker', text);
    const {written, lost} = instance.statistics();
    assert.equal(written, 200);
    assert.ok(lost > 100 && lost < 200, String(lost));
  });

  it('either counts the exits of a running VM exactly, or says that its KVM does not tell', async function () {
    needs(this, 'build', 'kvm');
    const tracefs = usableTracefs(this);
    using folder = scratch();
    await using vm = await startKvfioVm(
      ['--sock', folder.path('vm.sock'), '--guest', 'wbinvd', '--paused', '--json'],
      'stderr',
    );
    const measured = measureAgainst({
      vm: await findVm(
        {pid: vm.pid, vmFd: undefined},
        {deadline: Deadline.after(5000), patience: 5000, wait: false},
      ),
      machine: {...MACHINE, kvmModule: null},
      seconds: 20,
      signal: new AbortController().signal,
      tracefs,
      onReady: () => {
        process.kill(vm.pid, 'SIGUSR2');
        setTimeout(() => void vm.end('SIGINT'), 500);
      },
    }).catch((error: unknown) => error);
    const answer = await measured;
    await vm.end('SIGINT');
    const {wbinvds} = JSON.parse(vm.output().stdout.trimEnd().split('\n').at(-1) ?? '') as {
      wbinvds: number;
    };
    assert.ok(wbinvds > 0);
    if (answer instanceof Error) {
      await failsWith(
        () => {
          throw answer;
        },
        'EXITS_NOT_TRACED',
        8,
      );
    } else assert.equal((answer as AgainstDocument).wbinvd.exits, wbinvds);
    assert.equal(existsSync(`${tracefs}/instances/kvfio-${process.pid}-count`), false);
  });
});

/** Where this machine's tracer is, mounted for the test where nobody has; skips the test where it cannot be used. */
const usableTracefs = (context: Parameters<typeof skip>[0]): string => {
  try {
    return findTracefs(mounted === undefined ? undefined : [mounted.path]);
  } catch (error) {
    if (!(error instanceof Failure && error.code === 'NO_TRACEFS') || mounted !== undefined)
      return skip(context, String(error));
    mounted = mountTracefs();
    return mounted === undefined ? skip(context, String(error)) : usableTracefs(context);
  }
};

let mounted: {path: string; folder: Disposable} | undefined;

const mountTracefs = (): typeof mounted => {
  const folder = scratch();
  const path = folder.path('tracing');
  mkdirSync(path);
  if (spawnSync('mount', ['-t', 'tracefs', 'tracefs', path]).status === 0) return {path, folder};
  folder[Symbol.dispose]();
  return undefined;
};

made(() => ({
  [Symbol.dispose]: () => {
    if (mounted === undefined) return;
    assert.equal(spawnSync('umount', [mounted.path]).status, 0, 'the tracer is given back');
    mounted.folder[Symbol.dispose]();
  },
}));

describe('the answer of kvfio probe --against as text', () => {
  it('begins with the count in words, and steers no terminal', async () => {
    const document: AgainstDocument = {
      schemaVersion: 1,
      command: 'probe-against',
      vm: {pid: 4711, command: 'qemu\u001b[2J', fd: 13, socket: null, sharesProcess: false},
      seconds: 10,
      ended: 'duration',
      wbinvd: {exits: 1234, perSecond: 123.4, counted: 'histogram', uncounted: 0},
      vcpus: [{vcpu: 2, exits: 1234, timed: 1200, nanoseconds: null, histogram: null}],
      lostEvents: 34,
      machine: MACHINE,
      warnings: [],
    };
    const lines = await againstLines(document, {paint: new Chalk({level: 0}), width: null});
    assert.equal(lines[0], '1 234 WBINVD exits in 10.0 s, 123 a second');
    assert.match(lines.join('\n'), /34 events lost/);
    assert.match(lines.join('\n'), /VCPU +EXITS +TIMED/);
    for (const line of lines) assert.doesNotMatch(line, STEERING);
    const none = await againstLines(
      {...document, wbinvd: {...document.wbinvd, exits: 0, perSecond: 0}, vcpus: [], ended: 'vm-ended'},
      {paint: new Chalk({level: 0}), width: 80},
    );
    assert.equal(none[0], 'no WBINVD exits in 10.0 s, then the VM ended');
  });
});
