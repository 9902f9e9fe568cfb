/** One page of a CPU's trace buffer, as trace_pipe_raw gives it. */
export interface TracePage {
  /** Events were overwritten between the page before and this one. */
  lostBefore: boolean;
  /** Events in the order of their time. */
  events: TraceRecord[];
}

export interface TraceRecord {
  /** Time in the unit of the trace clock. */
  time: number;
  /** Offset of its record in the page. */
  offset: number;
  /** Its first field: which event it is. */
  type: number;
}

/**
 * Takes a page apart: struct buffer_data_page and struct ring_buffer_event of kernel/trace/ring_buffer.c and
 * include/linux/ring_buffer.h, little-endian and 64-bit.
 *
 * Times are exact up to 2^53 ns, which is 104 days of a clock that starts at boot; after that they are rounded to 2 ns.
 *
 * @throws Error when it is not such a page
 */
export const parseTracePage = (page: Buffer): TracePage => {
  if (page.length < HEADER) throw new Error(`a trace page of ${page.length} bytes`);
  const start = page.readBigUInt64LE(0);
  const commit = page.readUInt32LE(8);
  const end = HEADER + (commit & COMMIT_LENGTH);
  if (end > page.length) throw new Error(`a trace page of ${page.length} bytes has ${end}`);
  const events: TraceRecord[] = [];
  let time = Number(start);
  let offset = HEADER;
  while (offset + 4 <= end) {
    const header = page.readUInt32LE(offset);
    const kind = header & 0x1f;
    const delta = header >>> 5;
    if (kind === PADDING && delta === 0) break;
    const long = kind === 0 || kind >= PADDING;
    if (long && offset + 8 > end) throw new Error('a trace page ends within an event');
    if (kind === PADDING) {
      time += delta;
      offset += 4 + page.readUInt32LE(offset + 4);
    } else if (kind === TIME_EXTEND) {
      time += page.readUInt32LE(offset + 4) * 2 ** 27 + delta;
      offset += 8;
    } else if (kind === TIME_STAMP) {
      // an absolute time without its upper five bits, which are those of the page
      const low = (BigInt(page.readUInt32LE(offset + 4)) << 27n) + BigInt(delta);
      time = Number((start & ~LOW_59) | low);
      offset += 8;
    } else {
      time += delta;
      const size = kind === 0 ? page.readUInt32LE(offset + 4) - 4 : kind * 4;
      const record = offset + (kind === 0 ? 8 : 4);
      if (size < 4 || record + size > end) throw new Error('a trace page ends within an event');
      events.push({time, offset: record, type: page.readUInt16LE(record)});
      offset = record + size;
    }
  }
  return {lostBefore: (commit & MISSED_EVENTS) !== 0, events};
};

const HEADER = 16;
/** RB_MISSED_EVENTS; the bits below RB_MISSED_STORED are the length. */
const MISSED_EVENTS = 1 << 31;
const COMMIT_LENGTH = (1 << 30) - 1;
const PADDING = 29;
const TIME_EXTEND = 30;
const TIME_STAMP = 31;
const LOW_59 = (1n << 59n) - 1n;
