import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  readSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import {Failure} from '../../failure.js';
import {processStart} from '../../linux/proc/start-time.js';
import {codeOf} from './tracefs.js';

/** What a CPU's trace buffer has seen (`per_cpu/cpuN/stats`). */
export interface BufferStatistics {
  /** Events that were written, whether they were read, overwritten or are still there. */
  written: number;
  /** Events that nobody can read any more, or that found no room. */
  lost: number;
}

/**
 * An instance of the kernel's tracer of kvfio's own: other users of the tracer see its folder, and their events and
 * buffers are left alone. While it is made, the tracer's option to record the names of tasks is off for a moment, where
 * nobody traces events: see {@link withoutCommandNames}.
 *
 * It bears the number of its process and when that began, so that kvfio recognises one whose process was killed, which is
 * removed by the next kvfio.
 */
export class TraceInstance implements Disposable {
  readonly folder: string;
  readonly #readers = new Map<number, number>();
  readonly #page: Buffer;

  /** @param purpose - distinguishes the instances of one process */
  constructor(tracefs: string, purpose: string) {
    this.folder = `${tracefs}/instances/${nameFor(purpose)}`;
    this.#page = Buffer.alloc(pageSize(tracefs));
    withoutCommandNames(tracefs, () => {
      make(this.folder);
    });
    try {
      // one clock for all CPUs, in nanoseconds, and the same that the process itself can read
      this.write('trace_clock', 'mono');
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  write(file: string, text: string): void {
    try {
      writeFileSync(`${this.folder}/${file}`, text);
    } catch (error) {
      throw refused(`${this.folder}/${file}`, text, codeOf(error));
    }
  }

  read(file: string): string {
    return readFileSync(`${this.folder}/${file}`, 'utf8');
  }

  /** Numbers of the CPUs that it has buffers for. */
  get cpus(): number[] {
    return readdirSync(`${this.folder}/per_cpu`)
      .map((name) => Number(/^cpu(\d+)$/.exec(name)?.[1] ?? NaN))
      .filter((cpu) => !Number.isNaN(cpu))
      .sort((a, b) => a - b);
  }

  /** Takes the next page of a CPU's buffer away, never waiting; null when it is empty. The page is reused by the next call. */
  nextPage(cpu: number): Buffer | null {
    let fd = this.#readers.get(cpu);
    if (fd === undefined) {
      fd = openSync(
        `${this.folder}/per_cpu/cpu${cpu}/trace_pipe_raw`,
        constants.O_RDONLY | constants.O_NONBLOCK,
      );
      this.#readers.set(cpu, fd);
    }
    try {
      const length = readSync(fd, this.#page, 0, this.#page.length, null);
      return length === 0 ? null : this.#page.subarray(0, length);
    } catch (error) {
      // a CPU that has never been online has no buffer
      if (['EAGAIN', 'ENODEV'].includes(codeOf(error))) return null;
      throw error;
    }
  }

  statistics(): BufferStatistics {
    return this.cpus
      .map((cpu) => parseStatistics(this.read(`per_cpu/cpu${cpu}/stats`)))
      .reduce((a, b) => ({written: a.written + b.written, lost: a.lost + b.lost}), {written: 0, lost: 0});
  }

  /** Removes it with all its events and triggers. */
  [Symbol.dispose](): void {
    for (const fd of this.#readers.values()) closeSync(fd);
    this.#readers.clear();
    removeInstance(this.folder);
  }
}

const PREFIX = 'kvfio-';

const nameFor = (purpose: string): string =>
  `${PREFIX}${process.pid}-${processStart(process.pid) ?? 0}-${purpose}`;

/** Removes what kvfios left behind that were killed, and turns the option on again that one had turned off. */
export const removeStaleInstances = (tracefs: string): void => {
  for (const name of readdirSync(`${tracefs}/instances`)) {
    const [, pid, start, purpose] = /^kvfio-(\d+)-(\d+)-(\w+)$/.exec(name) ?? [];
    if (pid === undefined || processStart(Number(pid)) === Number(start)) continue;
    if (purpose === NAMES_OFF) writeFileSync(`${tracefs}/${OPTION}`, '1');
    removeInstance(`${tracefs}/instances/${name}`);
  }
};

/** The kernel ends its events and triggers itself (event_trace_del_tracer in kernel/trace/trace_events.c). */
const removeInstance = (folder: string): void => {
  try {
    rmdirSync(folder);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw left(folder, codeOf(error));
  }
};

/**
 * An instance copies the tracer's option to record the names of tasks, and cannot change it later. With it, enabling the
 * first event patches the scheduler; a guest under emulation does not always survive that. So it is off for the moment,
 * unless somebody traces events: then the scheduler is patched already, and they want the names.
 *
 * An empty instance says that the option is to be turned on again, in case kvfio is killed in between.
 */
const withoutCommandNames = (tracefs: string, work: () => void): void => {
  const option = `${tracefs}/${OPTION}`;
  if (readFileSync(option, 'utf8').trim() !== '1' || someEventIsEnabled(tracefs)) {
    work();
    return;
  }
  const note = `${tracefs}/instances/${nameFor(NAMES_OFF)}`;
  make(note);
  try {
    writeFileSync(option, '0');
    try {
      work();
    } finally {
      writeFileSync(option, '1');
    }
  } finally {
    removeInstance(note);
  }
};

const OPTION = 'options/record-cmd';
const NAMES_OFF = 'namesoff';

const make = (folder: string): void => {
  try {
    mkdirSync(folder);
  } catch (error) {
    throw refused(folder, 'mkdir', codeOf(error));
  }
};

/** Whether the tracer itself or one of its instances records events. */
const someEventIsEnabled = (tracefs: string): boolean =>
  [tracefs, ...readdirSync(`${tracefs}/instances`).map((name) => `${tracefs}/instances/${name}`)].some(
    (folder) => {
      try {
        // 0, 1, or X for some (system_enable_read in kernel/trace/trace_events.c)
        return readFileSync(`${folder}/events/enable`, 'utf8').trim() !== '0';
      } catch (error) {
        codeOf(error); // the instance has been removed meanwhile
        return false;
      }
    },
  );

/** Size of a page of the buffer: what `events/header_page` says of its header and its data. */
const pageSize = (tracefs: string): number => {
  const text = readFileSync(`${tracefs}/events/header_page`, 'utf8');
  const [, offset, size] = /\bdata;\s+offset:(\d+);\s+size:(\d+);/.exec(text) ?? [];
  return offset === undefined ? 4096 : Number(offset) + Number(size);
};

/** Parses `stats` (tracing_stats_read in kernel/trace/trace.c). */
export const parseStatistics = (text: string): BufferStatistics => {
  const number = (name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  const overwritten = number('overrun');
  const dropped = number('dropped events') + number('commit overrun');
  return {
    written: number('entries') + overwritten + number('read events') + dropped,
    lost: overwritten + dropped,
  };
};

const refused = (path: string, text: string, errno: string): Failure =>
  new Failure({
    code: 'TRACER_REFUSED',
    kind: errno === 'EACCES' || errno === 'EPERM' ? 'cannotDecide' : 'kernelRefused',
    what: 'The exits of the VM cannot be traced.',
    why: `The kernel answered ${errno} to "${text.length > 60 ? `${text.slice(0, 60)}…` : text}" in ${path}.`,
    hint:
      errno === 'EPERM' || errno === 'EACCES'
        ? 'Run kvfio as root; a kernel that is locked down (secure boot) lets nobody trace.'
        : 'Look for the reason in error_log of tracefs.',
    errno,
  });

const left = (folder: string, errno: string): Failure =>
  new Failure({
    code: 'TRACER_NOT_REMOVED',
    kind: 'kernelRefused',
    what: `The tracer's instance ${folder} was not removed.`,
    why: `The kernel answered ${errno}: another process reads from it.`,
    hint: `Run "rmdir ${folder}" when that has ended.`,
    errno,
  });
