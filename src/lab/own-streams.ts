import {Failure} from '../failure.js';
import {descriptorSink} from './descriptor-sink.js';
import type {LabStreams} from './lab.js';
import type {LabTask} from './task.js';
import {within} from './within.js';

export interface TaskOptions {
  onTerminal: boolean;
  /** Seconds that the script may take to arrive. */
  limit: number | undefined;
  signal: AbortSignal;
}

/**
 * What the guest has to run: the command, or the script on stdin, or a shell on a terminal.
 *
 * @throws {@link Failure} when there is none of these
 */
export const taskFor = async (
  command: string[],
  {onTerminal, limit, signal}: TaskOptions,
): Promise<LabTask> => {
  if (command.length > 0) return {command};
  if (onTerminal) return {shell: true};
  const script = process.stdin.isTTY
    ? ''
    : await within(textOf(process.stdin), {seconds: limit, expired: () => scriptTimedOut(limit), signal});
  if (script.trim() !== '') return {script};
  throw new Failure({
    code: 'LAB_NO_COMMAND',
    kind: 'usage',
    what: 'kvfio lab was given nothing to run.',
    why: 'There is no command after "--", no script on stdin, and stdin and stdout are not both a terminal.',
    hint: 'Name a command, such as "kvfio lab -- kvfio groups", or run it on a terminal for a shell.',
  });
};

const scriptTimedOut = (seconds: number | undefined): Failure =>
  new Failure({
    code: 'LAB_SCRIPT_TIMEOUT',
    kind: 'timeout',
    what: `The script on stdin did not end within ${seconds ?? 0} s.`,
    why: 'Without a command kvfio lab reads a whole script before it boots, and whoever writes it has not closed it.',
    hint: 'Name a command after "--", or close what stdin is connected to.',
  });

const textOf = async (input: NodeJS.ReadStream): Promise<string> => {
  const parts: Buffer[] = [];
  for await (const part of input as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
};

/** Those of kvfio's own streams that the guest gets. */
export const streamsFor = (command: string[], onTerminal: boolean, json: boolean): LabStreams => {
  const stderr = descriptorSink(process.stderr.fd);
  if (onTerminal) {
    const {stdin: input, stdout: output} = process;
    return {input, output, ...(!process.stderr.isTTY && {stderr})};
  }
  return {
    ...(command.length > 0 && !process.stdin.isTTY && {stdin: process.stdin}),
    ...(!json && {stdout: descriptorSink(process.stdout.fd), stderr}),
  };
};
