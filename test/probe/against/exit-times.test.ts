import assert from 'node:assert/strict';
import fc from 'fast-check';
import {ExitTimes, type TraceSource} from '../../../src/probe/against/exit-times.js';

const EXIT = 7;
const ENTRY = 8;

const format = (id: number): string =>
  `ID: ${id}\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\tfield:unsigned int vcpu_id;\toffset:8;\tsize:4;\tsigned:0;\n`;

interface Event {
  cpu: number;
  time: number;
  type: typeof EXIT | typeof ENTRY;
  thread: number;
}

/** A page with these events. */
const page = (events: readonly Event[], lostBefore: boolean): Buffer => {
  const body = Buffer.alloc(events.length * 16);
  const start = events[0]?.time ?? 0;
  let before = start;
  for (const [index, {time, type, thread}] of events.entries()) {
    body.writeUInt32LE((time - before) * 32 + 3, index * 16);
    body.writeUInt16LE(type, index * 16 + 4);
    body.writeUInt32LE(thread, index * 16 + 8);
    body.writeUInt32LE(thread % 100, index * 16 + 12);
    before = time;
  }
  const header = Buffer.alloc(16);
  header.writeBigUInt64LE(BigInt(start), 0);
  header.writeUInt32LE((body.length | (lostBefore ? 1 << 31 : 0)) >>> 0, 8);
  return Buffer.concat([header, body]);
};

/** Buffers of two CPUs from which nothing is missing but what is said to be. */
class Buffers implements TraceSource {
  readonly folder = '';
  readonly cpus = [0, 1];
  readonly pages = new Map<number, Buffer[]>([
    [0, []],
    [1, []],
  ]);

  add(cpu: number, events: readonly Event[], lostBefore = false): void {
    this.pages.get(cpu)?.push(page(events, lostBefore));
  }

  nextPage(cpu: number): Buffer | null {
    return this.pages.get(cpu)?.shift() ?? null;
  }

  read(file: string): string {
    return format(file.includes('kvm_exit') ? EXIT : ENTRY);
  }

  write(): void {
    // nothing is recorded
  }

  statistics(): {written: number; lost: number} {
    return {written: 0, lost: 0};
  }
}

const event = (cpu: number, time: number, type: Event['type'], thread = 1): Event => ({
  cpu,
  time,
  type,
  thread,
});

const kept = (times: ExitTimes): Record<number, number[]> =>
  Object.fromEntries([...times.times].map(([vcpu, {kept: values}]) => [vcpu, [...values]]));

describe('times of exits', () => {
  it('go from an exit to the next entry of the same thread, on whatever CPU that is', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            thread: fc.integer({min: 1, max: 3}),
            cpus: fc.tuple(fc.constantFrom(0, 1), fc.constantFrom(0, 1)),
            length: fc.integer({min: 1, max: 1000}),
            others: fc.integer({min: 0, max: 2}),
          }),
          {maxLength: 40},
        ),
        fc.integer({min: 1, max: 5}),
        (exits, perPage) => {
          const all: Event[] = [];
          const expected: Record<number, number[]> = {};
          let time = 1000;
          for (const {thread, cpus, length, others} of exits) {
            // entries after exits of other reasons, which are not recorded
            for (let count = 0; count < others; count += 1)
              all.push(event(cpus[0], (time += 3), ENTRY, thread));
            all.push(event(cpus[0], (time += 7), EXIT, thread));
            all.push(event(cpus[1], (time += length), ENTRY, thread));
            (expected[thread] ??= []).push(length);
          }
          const buffers = new Buffers();
          for (const cpu of [0, 1]) {
            const own = all.filter((each) => each.cpu === cpu);
            for (let index = 0; index < own.length; index += perPage)
              buffers.add(cpu, own.slice(index, index + perPage));
          }
          const times = new ExitTimes(buffers);
          times.collect();
          times.finish();
          assert.deepEqual(kept(times), expected);
          assert.equal(times.entries, all.filter(({type}) => type === ENTRY).length);
        },
      ),
    );
  });

  it('wait for a buffer that is read later', () => {
    const buffers = new Buffers();
    const times = new ExitTimes(buffers);
    // both are after the reading that finds only the second of them
    const soon = Number(process.hrtime.bigint()) + 60_000_000_000;
    buffers.add(1, [event(1, soon + 50, ENTRY)]);
    times.collect();
    buffers.add(0, [event(0, soon, EXIT)]);
    times.collect();
    times.finish();
    assert.deepEqual(kept(times), {1: [50]});
  });

  it('leave out what may be of two exits, because events are missing', () => {
    const buffers = new Buffers();
    // on CPU 0 events are missing from 1010 to 1500: the entry that belongs to the exit, and another exit
    buffers.add(0, [event(0, 1000, EXIT), event(0, 1005, ENTRY), event(0, 1010, EXIT)]);
    buffers.add(0, [event(0, 1500, ENTRY), event(0, 1600, EXIT), event(0, 1620, ENTRY)], true);
    // the thread was on CPU 1 in between
    buffers.add(1, [
      event(1, 1200, ENTRY),
      event(1, 1300, EXIT),
      event(1, 1330, ENTRY),
      event(1, 1700, EXIT),
    ]);
    buffers.add(1, [event(1, 1740, ENTRY)]);
    const times = new ExitTimes(buffers);
    times.finish();
    assert.deepEqual(kept(times), {1: [5, 20, 40]});
  });
});
