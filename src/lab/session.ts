import type {Readable} from 'node:stream';
import {setTimeout as sleep} from 'node:timers/promises';
import type {ReadStream, WriteStream} from 'node:tty';
import {Failure} from '../failure.js';
import {lastLines, type LabGuest} from './guest.js';
import {feedInput} from './input.js';
import {followOutput, type Sink} from './output.js';
import {joinTerminal} from './terminal.js';
import {within} from './within.js';

/** A session that reads data and writes data. */
export interface DataStreams {
  /** Absent, the session reads an empty input. */
  stdin?: Readable | undefined;
  stdout: Sink;
  stderr: Sink;
}

/** A session that has a terminal: the user's own. */
export interface TerminalStreams {
  input: ReadStream;
  output: WriteStream;
  /** Absent, errors go to the terminal too. */
  stderr?: Sink | undefined;
}

export interface SessionParts {
  guest: LabGuest;
  /** Folder through which guest and kvfio hand over data. */
  share: string;
  streams: DataStreams | TerminalStreams;
  /** Seconds that the session may take. */
  limit: number | undefined;
  signal: AbortSignal | undefined;
}

/** Runs the session of a guest that has booted, and returns its exit code when all its output was passed on. */
export const runSession = async (parts: SessionParts): Promise<number> => {
  const {guest, limit, signal} = parts;
  const progress: Progress = {ended: false, over: new AbortController()};
  const connection = connect(parts, progress);
  const outputs = Promise.all(connection.outputs);
  const session = async (): Promise<number> => {
    const code = await guest.ended();
    progress.ended = true;
    await outputs;
    return code;
  };
  try {
    const work = Promise.race([session(), failureOf(outputs), failureOf(connection.input)]);
    return await within(work, {seconds: limit, expired: () => timedOut(limit, guest), signal});
  } catch (error) {
    // what a guest wrote before it died is worth knowing
    progress.ended = true;
    if (error instanceof Failure)
      await Promise.race([failureOf(outputs), outputs, sleep(LAST_WORDS)]).catch(() => null);
    throw error;
  } finally {
    progress.over.abort();
    connection.close();
  }
};

/** Milliseconds in which the output of a guest that failed is still passed on. */
const LAST_WORDS = 2000;

interface Progress {
  /** Whether the guest has written all that it will write. */
  ended: boolean;
  /** Aborted when nobody is interested any more. */
  over: AbortController;
}

interface Connection {
  outputs: Promise<void>[];
  /** Rejected when the input fails or the user leaves. */
  input: Promise<void>;
  close: () => void;
}

const connect = ({guest, share, streams}: SessionParts, progress: Progress): Connection => {
  const {signal} = progress.over;
  const follow = (stream: 'stdout' | 'stderr', sink: Sink): Promise<void> =>
    followOutput({share, stream, sink, ended: () => progress.ended, signal});
  const tell = (line: string): void => {
    guest.tell(line);
  };

  if ('stdout' in streams) {
    const {stdin: input, stdout, stderr} = streams;
    return {
      outputs: [follow('stdout', stdout), follow('stderr', stderr)],
      input: input === undefined ? Promise.resolve() : feedInput({share, input, tell, signal}),
      close: () => undefined,
    };
  }
  const {promise: left, reject: leave} = withReject();
  const close = joinTerminal({
    ...streams,
    port: guest.terminal,
    tell,
    onEscape: () => {
      leave(leftByEscape());
    },
  });
  return {
    outputs: streams.stderr === undefined ? [] : [follow('stderr', streams.stderr)],
    input: left,
    close,
  };
};

/** Rejected like `work`, and otherwise never settled. */
const failureOf = (work: Promise<unknown>): Promise<never> =>
  new Promise((_, reject) => {
    work.catch(reject);
  });

const withReject = (): {promise: Promise<void>; reject: (error: Error) => void} => {
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<void>((_, refuse) => {
    reject = refuse;
  });
  return {promise, reject};
};

const timedOut = (seconds: number | undefined, guest: LabGuest): Failure =>
  new Failure({
    code: 'LAB_TIMEOUT',
    kind: 'timeout',
    what: `The command in the lab did not end within ${seconds ?? 0} s.`,
    why: lastLines(guest.console).join('\n'),
    hint: 'Give it more time with --timeout, or run it in an interactive lab to see where it waits.',
  });

/** The user left a session with Ctrl-]. */
export class LeftSession extends Error {}

const leftByEscape = (): LeftSession => new LeftSession('The session was left with Ctrl-].');
