import {whenOf} from './series-name.js';
import type {Clock, Series} from './series.js';

/**
 * Raw samples as comma-separated values (RFC 4180, lines end in LF), in pieces that each fit memory: a million lines would not fit
 * into one string of every engine.
 *
 * Columns: operation, phase (by its old name), index within the series, ticks of the time-stamp counter, nanoseconds, and when it was.
 */
export function* csvChunks(series: readonly Series[], {tscKhz}: Clock): Generator<string> {
  yield 'operation,phase,index,ticks,nanoseconds,when\n';
  for (const {operation, phase, ticks} of series) {
    for (let start = 0; start < ticks.length; start += CHUNK) {
      let lines = '';
      for (let index = start; index < Math.min(start + CHUNK, ticks.length); index += 1) {
        const value = ticks[index] ?? 0;
        lines += `${operation},${phase},${index},${value},${((value * 1e6) / tscKhz).toFixed(2)},${whenOf(phase)}\n`;
      }
      yield lines;
    }
  }
}

/** Lines in one piece. */
const CHUNK = 10_000;
