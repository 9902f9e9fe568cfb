import {readFileSync, statSync} from 'node:fs';
import {Failure} from '../failure.js';
import type {MachineRecord} from './machine-record.js';
import type {Clock} from './series.js';
import type {ProbeRun, SeriesDocument} from './series-document.js';
import {QUANTILES, type Figures} from './statistics/figures.js';
import {REPLICATES} from './statistics/median.js';

/** What a comparison needs of another run's series. */
export type ReadSeries = Pick<
  SeriesDocument,
  | 'operation'
  | 'phase'
  | 'samples'
  | 'subtracted'
  | 'cycles'
  | 'nanoseconds'
  | 'medianReplicates'
  | 'drifting'
  | 'histogram'
>;

/** What a comparison needs of another run's document. */
export interface ReadRun {
  clock: Clock;
  /** The machine record: only fields that are known here, and null for those that the file does not have. */
  machine: MachineRecord;
  series: ReadSeries[];
}

/**
 * Reads what `kvfio probe --json` has printed, maybe elsewhere and maybe changed since.
 *
 * @throws {@link Failure}: notFound, permission, or usage with the place in the file that is wrong
 */
export const readProbeRun = (path: string): ReadRun => {
  const document = parse(path, read(path));
  if (!isRecord(document)) throw unusable(path, 'It holds JSON, but not a document of kvfio.');
  if ('error' in document && !('series' in document)) {
    throw unusable(path, 'It holds the failure of a command, not a measurement.');
  }
  const {schemaVersion, command} = document;
  if (command !== 'probe' || !Array.isArray(document['series'])) {
    throw unusable(
      path,
      Array.isArray(document['series']) || schemaVersion === undefined
        ? 'It holds JSON, but not what "kvfio probe --json" prints.'
        : 'It holds the document of another command.',
    );
  }
  if (schemaVersion !== 1) {
    throw new Failure({
      code: 'PROBE_FILE_VERSION',
      kind: 'usage',
      what: `${path} cannot be compared.`,
      why: `Its schemaVersion is ${schemaVersion === undefined ? 'missing' : JSON.stringify(schemaVersion)}, and this version of kvfio knows 1.`,
      hint: 'Use the version of kvfio that made it, or measure again.',
    });
  }
  try {
    return readRun(document);
  } catch (error) {
    if (error instanceof Malformed) throw unusable(path, `It is damaged: ${error.message}.`);
    throw error;
  }
};

const readRun = ({clock, machine, series}: Partial<Record<keyof ProbeRun, unknown>>): ReadRun => {
  const clockFields = record(clock, 'clock');
  const tscKhz = number(clockFields['tscKhz'], 'clock.tscKhz');
  if (tscKhz <= 0) throw new Malformed('clock.tscKhz is not above 0');
  return {
    clock: {tscKhz, source: textOrNull(clockFields['source'], 'clock.source') ?? 'unknown'},
    machine: readMachine(record(machine, 'machine')),
    series: array(series, 'series', 1000).map((each, index) => readSeries(each, `series[${index}]`)),
  };
};

const readSeries = (value: unknown, place: string): ReadSeries => {
  const fields = record(value, place);
  const name = (field: string): string => {
    const text = textOrNull(fields[field], `${place}.${field}`);
    if (text === null || !/^[a-z][a-z-]{0,30}$/.test(text))
      throw new Malformed(`${place}.${field} is not a name`);
    return text;
  };
  const samples = number(fields['samples'], `${place}.samples`);
  if (!Number.isInteger(samples) || samples < 0)
    throw new Malformed(`${place}.samples is not a number of samples`);
  const figures = (field: string): Figures | null => {
    if (fields[field] === null && samples === 0) return null;
    return readFigures(fields[field], `${place}.${field}`);
  };
  return {
    // a newer version may know more of them, which then have no partner
    operation: name('operation') as ReadSeries['operation'],
    phase: name('phase') as ReadSeries['phase'],
    samples,
    subtracted: number(fields['subtracted'], `${place}.subtracted`),
    cycles: figures('cycles'),
    nanoseconds: figures('nanoseconds'),
    medianReplicates: array(fields['medianReplicates'], `${place}.medianReplicates`, REPLICATES).map(
      (each, index) => number(each, `${place}.medianReplicates[${index}]`),
    ),
    drifting: fields['drifting'] === true,
    histogram: readHistogram(fields['histogram'], `${place}.histogram`),
  };
};

const readFigures = (value: unknown, place: string): Figures => {
  const fields = record(value, place);
  const figure = (name: string): number => number(fields[name], `${place}.${name}`);
  const range = (name: string): Figures['meanInterval'] => {
    if (fields[name] === null) return null;
    const limits = record(fields[name], `${place}.${name}`);
    return {
      low: number(limits['low'], `${place}.${name}.low`),
      high: number(limits['high'], `${place}.${name}.high`),
    };
  };
  const quantiles = Object.fromEntries(Object.keys(QUANTILES).map((name) => [name, figure(name)])) as Record<
    keyof typeof QUANTILES,
    number
  >;
  const values = Object.values(quantiles);
  if (values.some((each, index) => each < (values[index - 1] ?? -Infinity))) {
    throw new Malformed(`${place} has quantiles that do not rise`);
  }
  return {
    ...quantiles,
    mean: figure('mean'),
    medianInterval: range('medianInterval'),
    meanInterval: range('meanInterval'),
  };
};

/** Null where the file has none. */
const readHistogram = (value: unknown, place: string): ReadSeries['histogram'] => {
  if (value === undefined || value === null) return null;
  const fields = record(value, place);
  const numbers = (name: string): number[] =>
    array(fields[name], `${place}.${name}`, RANGES_MAX).map((each, index) =>
      number(each, `${place}.${name}[${index}]`),
    );
  const {scale} = fields;
  const [edges, counts] = [numbers('edges'), numbers('counts')];
  if (scale !== 'linear' && scale !== 'log') throw new Malformed(`${place}.scale is neither linear nor log`);
  if (counts.length === 0 || edges.length !== counts.length + 1)
    throw new Malformed(`${place} has ${edges.length} edges for ${counts.length} ranges`);
  if (edges.some((edge, index) => edge < (edges[index - 1] ?? -Infinity)))
    throw new Malformed(`${place} has edges that do not rise`);
  if (counts.some((count) => !Number.isInteger(count) || count < 0))
    throw new Malformed(`${place} has a count that is not a number of samples`);
  return {scale, edges, counts};
};

/** The most ranges that are taken from a file; no histogram of kvfio has as many. */
const RANGES_MAX = 1000;

const readMachine = (fields: Record<string, unknown>): MachineRecord => {
  const text = (name: keyof MachineRecord): string | null => textOrNull(fields[name], `machine.${name}`);
  const {pinnedCpu, virtualised, mitigations} = fields;
  return {
    cpu: text('cpu'),
    vendor: text('vendor'),
    signature: text('signature'),
    microcode: text('microcode'),
    kernel: text('kernel'),
    architecture: text('architecture'),
    kvmModule: text('kvmModule'),
    virtualised: typeof virtualised === 'boolean' ? virtualised : null,
    hypervisor: text('hypervisor'),
    online: text('online'),
    pinnedCpu: typeof pinnedCpu === 'number' ? pinnedCpu : null,
    allowed: text('allowed'),
    governor: text('governor'),
    frequencyDriver: text('frequencyDriver'),
    clockSource: text('clockSource'),
    mitigations: isRecord(mitigations)
      ? Object.fromEntries(
          Object.entries(mitigations).map(([name, state]) => [
            name,
            textOrNull(state, `machine.mitigations.${name}`) ?? '',
          ]),
        )
      : null,
    kvfio: text('kvfio') ?? 'unknown',
  };
};

/** What is wrong, and where in the document. */
class Malformed extends Error {}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const record = (value: unknown, place: string): Record<string, unknown> => {
  if (!isRecord(value)) throw new Malformed(`${place} is ${kindOf(value)}, not an object`);
  return value;
};

const array = (value: unknown, place: string, limit: number): unknown[] => {
  if (!Array.isArray(value)) throw new Malformed(`${place} is ${kindOf(value)}, not an array`);
  if (value.length > limit) throw new Malformed(`${place} has ${value.length} entries, not at most ${limit}`);
  return value;
};

const number = (value: unknown, place: string): number => {
  // JSON has numbers like 1e999, which are read as infinite
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw new Malformed(`${place} is ${kindOf(value)}, not a finite number`);
  }
  return value;
};

const textOrNull = (value: unknown, place: string): string | null => {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'string') throw new Malformed(`${place} is ${kindOf(value)}, not a text`);
  return value;
};

const kindOf = (value: unknown): string => {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
};

/** Largest file that is read, in bytes; a document of ten series has about 60 KiB. */
const LIMIT = 16 * 1024 * 1024;

const read = (path: string): string => {
  try {
    const stats = statSync(path);
    if (stats.isDirectory()) throw unusable(path, 'It is a folder.');
    // a pipe, as of <(kvfio probe --json), has no size
    if (stats.size > LIMIT) throw unusable(path, 'It is larger than any measurement.');
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Failure) throw error;
    const errno = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new Failure({
      code: 'PROBE_FILE_UNREADABLE',
      kind:
        errno === 'EACCES' ? 'permission' : errno === 'ENOENT' || errno === 'ENOTDIR' ? 'notFound' : 'usage',
      what: `${path} cannot be compared.`,
      why:
        errno === 'ENOENT'
          ? 'There is no such file.'
          : errno === 'EACCES'
            ? 'You may not read it (EACCES).'
            : `It could not be read (${errno}).`,
      hint: HINT,
      errno,
      cause: error,
    });
  }
};

const parse = (path: string, text: string): unknown => {
  if (text.trim() === '') throw unusable(path, 'It is empty.');
  try {
    return JSON.parse(text);
  } catch {
    throw unusable(path, 'It holds no JSON.');
  }
};

const unusable = (path: string, why: string): Failure =>
  new Failure({
    code: 'PROBE_FILE_UNUSABLE',
    kind: 'usage',
    what: `${path} cannot be compared.`,
    why,
    hint: HINT,
  });

const HINT = 'Name two files that "kvfio probe --json" has printed.';
