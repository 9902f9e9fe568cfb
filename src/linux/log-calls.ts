import fs from 'node:fs';
import {errnoName} from './errno.js';
import {setCallLog, type CallLog} from './call-log.js';
import {IOCTLS} from './ioctl.js';
import {PTRACE} from './trace/ptrace.js';
import {syscallName} from './syscalls.js';

/**
 * Reports each file that is read or written and each call to the C library from now on, one line each, with the time since
 * the start, what came of it, and how long it took.
 *
 * While a thread of another process is held, lines are kept until it is let go: to write one takes longer than the call.
 */
export const logCalls = (write: (line: string) => void): void => {
  const entries: Entry[] = [];
  let held = 0;
  const flush = (): void => {
    for (const {at, took, text} of entries.splice(0))
      write(`${at.toFixed(3)} ms ${text()}${took === null ? '' : ` (${Math.round(took * 1000)} µs)`}`);
  };
  const add = (entry: Entry): void => {
    entries.push(entry);
    if (held === 0) flush();
  };
  process.on('exit', flush);

  const timed =
    (call: Call, text: (args: readonly unknown[], outcome: unknown) => string): Call =>
    (...args) => {
      const at = performance.now();
      let outcome: unknown;
      try {
        return (outcome = call(...args));
      } catch (error) {
        outcome = error;
        throw error;
      } finally {
        const came = outcome;
        add({at, took: performance.now() - at, text: () => text(args, came)});
      }
    };

  const log: CallLog = {
    logged: (functions) => {
      const entriesOf = Object.entries(functions as Record<string, Call>).map(([name, call]) => {
        if (UNTOLD.includes(name)) return [name, call] as const;
        const told = timed(call, (args, outcome) => callText(name, args, outcome));
        return [
          name,
          name !== 'ptrace'
            ? told
            : (...args: unknown[]) => {
                if (args[0] === PTRACE.PTRACE_SEIZE) held++;
                if (args[0] === PTRACE.PTRACE_DETACH && held > 0) held--;
                return told(...args);
              },
        ] as const;
      });
      return Object.fromEntries(entriesOf) as typeof functions;
    },
    tell: (line) => {
      add({at: performance.now(), took: null, text: () => line});
    },
  };
  setCallLog(log);
  logFiles(timed);
};

interface Entry {
  /** Milliseconds since the process started. */
  at: number;
  /** Milliseconds; null for what is not timed. */
  took: number | null;
  text: () => string;
}

type Call = (...args: unknown[]) => unknown;

/** Functions of the C library that only move bytes of this process, which the log leaves out. */
const UNTOLD: readonly string[] = ['addressOf', 'copyFrom'];

/** Functions of node:fs that take a file by its name. */
const BY_NAME = [
  'openSync',
  'readFileSync',
  'readdirSync',
  'readlinkSync',
  'statSync',
  'lstatSync',
  'existsSync',
  'accessSync',
  'writeFileSync',
  'renameSync',
  'linkSync',
  'unlinkSync',
  'rmSync',
  'mkdirSync',
  'chownSync',
] as const;

const BY_DESCRIPTOR = ['readSync', 'writeSync'] as const;

/** Every module of kvfio finds node:fs's functions there when it calls them. */
const logFiles = (
  timed: (call: Call, text: (args: readonly unknown[], outcome: unknown) => string) => Call,
): void => {
  const functions = fs as unknown as Record<string, Call>;
  const names = new Map<unknown, string>();
  // those of node:fs call one another
  let inside = false;
  const replace = (name: string, told: Call): void => {
    const own = functions[name];
    if (own === undefined) return;
    functions[name] = (...args) => {
      if (inside) return own(...args);
      inside = true;
      try {
        return told(...args);
      } finally {
        inside = false;
      }
    };
  };
  for (const name of BY_NAME) {
    const own = functions[name];
    if (own === undefined) continue;
    replace(
      name,
      timed(own, ([path], outcome) => {
        if (name === 'openSync') names.set(outcome, String(path));
        return `${name.replace('Sync', '')} ${quoted(path)} = ${outcomeText(outcome)}`;
      }),
    );
  }
  for (const name of BY_DESCRIPTOR) {
    const own = functions[name];
    if (own === undefined) continue;
    replace(
      name,
      timed(own, ([fd, bytes, offset], outcome) => {
        const from = typeof offset === 'number' ? offset : 0;
        const part =
          Buffer.isBuffer(bytes) && typeof outcome === 'number'
            ? ` ${contents(bytes.subarray(from, from + Math.min(outcome, SHOWN)))}`
            : '';
        return `${name.replace('Sync', '')} ${names.get(fd) ?? `descriptor ${String(fd)}`} = ${outcomeText(outcome)}${part}`;
      }),
    );
  }
  // who lists many descriptors of processes goes to their folders
  const chdir = process.chdir.bind(process);
  process.chdir = timed(
    (folder) => {
      chdir(folder as string);
    },
    ([folder], outcome) => `chdir ${String(folder)} = ${outcomeText(outcome)}`,
  );
  // by the function, because a bundled module has another node:module
  process.getBuiltinModule('node:module').syncBuiltinESMExports();
};

/** Bytes of a file that a line has. */
const SHOWN = 60;

const contents = (bytes: Buffer): string =>
  bytes.every((byte) => byte === 9 || byte === 10 || (byte >= 32 && byte < 127))
    ? JSON.stringify(bytes.toString('latin1'))
    : bytes.toString('hex');

const quoted = (path: unknown): string => (typeof path === 'number' ? `descriptor ${path}` : String(path));

const outcomeText = (outcome: unknown): string => {
  if (outcome instanceof Error) return 'code' in outcome ? String(outcome.code) : outcome.message;
  if (typeof outcome === 'string')
    return outcome.length <= SHOWN ? JSON.stringify(outcome) : `${outcome.length} characters`;
  if (Array.isArray(outcome)) return `${outcome.length} names`;
  if (Buffer.isBuffer(outcome)) return `${outcome.length} bytes`;
  if (typeof outcome === 'number' || typeof outcome === 'boolean') return String(outcome);
  return outcome === undefined || outcome === null ? 'done' : 'there';
};

const callText = (name: string, args: readonly unknown[], outcome: unknown): string => {
  if (name.startsWith('ioctl'))
    return `ioctl(${String(args[0])}, ${ioctlName(args[1])}, ${argumentText(args[2])}) = ${answerText(outcome)}`;
  if (name === 'syscall' || name === 'fastSyscall')
    return `${syscallName(Number(args[0]))}(${(args[1] as unknown[]).map(argumentText).join(', ')}) = ${answerText(outcome)}`;
  return `${name}(${args.map(argumentText).join(', ')}) = ${answerText(outcome)}`;
};

const ioctlName = (request: unknown): string =>
  Object.entries(IOCTLS).find(([, number]) => number === request)?.[0] ?? String(request);

const argumentText = (argument: unknown): string => {
  if (Buffer.isBuffer(argument)) return `[${argument.length} bytes]`;
  if (typeof argument === 'string') return JSON.stringify(argument);
  if ((typeof argument === 'bigint' || typeof argument === 'number') && argument > 0xffff)
    return `0x${argument.toString(16)}`;
  return String(argument);
};

const answerText = (outcome: unknown): string => {
  if (outcome instanceof Promise) return 'in the background';
  if (typeof outcome === 'object' && outcome !== null && 'value' in outcome && 'errno' in outcome)
    return outcome.value === -1 ? `-1 ${errnoName(Number(outcome.errno))}` : String(outcome.value);
  return outcomeText(outcome);
};
