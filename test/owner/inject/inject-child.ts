import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {buildOnce} from '../../support/run.js';

const PROGRAM = fileURLToPath(new URL('inject-program.js', import.meta.url));

export interface Task {
  pid: number;
  vmFd?: number;
  work:
    | 'nothing'
    | 'create'
    | 'give and add'
    | 'delete and close'
    | 'close'
    | 'round'
    | 'create after its death'
    | 'hold'
    | 'for ever';
  device?: number;
  fd?: number;
  suspendSeccomp?: boolean;
  /** It kills itself after so many ptrace requests. */
  dieAfter?: number;
  /** It kills the owner after so many. */
  killOwnerAfter?: number;
  /** So many stops without calls come first, and are not counted. */
  before?: number;
}

export interface ChildAnswer {
  requests?: string[];
  result?: number | null;
  failure?: {
    name: string;
    code: string;
    kind?: string;
    what?: string;
    why?: string;
    hint?: string;
    message?: string;
  };
  holding?: boolean;
  begun?: boolean;
}

/** A kvfio of its own that works with an owner. */
export const startChild = (
  task: Task,
  {wrap = [], uid}: {wrap?: string[]; uid?: number} = {},
): ChildProcess => {
  buildOnce();
  return spawn('env', [...wrap, process.execPath, PROGRAM, JSON.stringify(task)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    ...(uid === undefined ? {} : {uid, gid: uid}),
  });
};

/** Its first line, or nothing when it died before. */
export const firstLine = async (child: ChildProcess): Promise<ChildAnswer> => {
  if (child.stdout === null) return {};
  for await (const line of createInterface(child.stdout)) return JSON.parse(line) as ChildAnswer;
  return {};
};

/** Runs it to its end. */
export const runChild = async (
  task: Task,
  options: {wrap?: string[]; uid?: number} = {},
): Promise<ChildAnswer> => {
  const child = startChild(task, options);
  const ended = once(child, 'exit');
  const answer = await firstLine(child);
  await ended;
  return answer;
};
