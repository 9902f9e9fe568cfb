import type {ProbeDocument} from '../../probe/probe-document.js';
import {DIRTY_MAX, type RunOptions} from '../../probe/run.js';
import type {Operation} from '../../probe/series.js';
import type {ProbeFlags} from './probe-flags.js';
import {parseSize} from './size.js';

/** What the flags ask to be measured: for the run, and as its document has it. */
export interface ProbeConditions {
  options: Omit<RunOptions, 'signal' | 'onProgress' | 'onNotice'>;
  settings: ProbeDocument['settings'];
}

/** @throws a usage failure for a size that is none */
export const probeConditions = (flags: ProbeFlags): ProbeConditions => {
  const {group: groups = [], duration, warmup, spread} = flags;
  const operations = operationsOf(flags);
  const samples = flags.samples ?? (duration !== undefined ? undefined : groups.length > 0 ? 1000 : 10_000);
  const dirty = flags.dirty === undefined ? 0 : roundUp(parseSize(flags.dirty, 'dirty', DIRTY_MAX), 64);
  return {
    options: {
      operations,
      samples,
      warmup,
      duration,
      spread,
      cpu: flags.cpu,
      dirty,
      cpusVisited: flags['cpus-visited'],
      groups,
      allowHostFlush: flags['allow-host-flush'],
    },
    settings: {
      operations,
      samples: samples ?? null,
      warmup,
      duration: duration ?? null,
      spread: samples === undefined ? 0 : spread,
      dirty,
      subtracted: flags['subtract-empty'],
    },
  };
};

const operationsOf = (flags: ProbeFlags): Operation[] => [
  ...new Set([...flags.operation, ...(flags['subtract-empty'] ? (['empty'] as const) : [])]),
];

const roundUp = (value: number, multiple: number): number => Math.ceil(value / multiple) * multiple;
