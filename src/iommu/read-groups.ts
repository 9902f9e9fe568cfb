import {createRequire} from 'node:module';
import {availableParallelism} from 'node:os';
import type * as Threads from 'node:worker_threads';
import {callLog} from '../linux/call-log.js';
import {DirectoryTree} from '../host/directory-tree.js';
import type {Warning} from '../host/attributes.js';
import {readGroup, type Group, type GroupContext} from './group.js';
import {packGroups, unpackGroups, type PackedGroups} from './packed-groups.js';

/** The task of a helper thread. It reads the same files in the same way, and decides nothing. */
export interface HelperTask {
  /** Folder of the machine, '' for this one. */
  root: string;
  facts: SharedContext;
  ids: readonly number[];
  /** Port that the parts are sent to. */
  port: Threads.MessagePort;
  progress: Int32Array;
}

/** What is known of a machine before its groups are read. */
export type SharedContext = Omit<GroupContext, 'attributes' | 'ids' | 'interned' | 'hops' | 'regionsOf'>;

/** Some groups that follow each other. */
export interface GroupsPart {
  groups: Group[];
  warnings: Warning[];
}

/** The part that is the `at`-th of all. */
interface SentPart {
  at: number;
  packed: PackedGroups;
  warnings: Warning[];
}

/**
 * Reads groups as they are asked for, in the order of `ids`, those of a large machine on several CPUs: nearly all of the time
 * is spent in the kernel, in one short call after the other. Who does something between two groups has others read on.
 */
export function* readGroups(context: GroupContext, ids: readonly number[]): Generator<Group> {
  const {tree} = context.attributes;
  // a tree of another kind may be there for this thread alone, as a recording is
  const root =
    tree instanceof DirectoryTree && ids.length >= MIN_GROUPS_FOR_HELP && availableParallelism() > 1
      ? tree.root
      : null;
  // nobody would report the files that another thread reads
  const helpers = root === null || callLog !== null ? null : startHelpers(context, ids, root);
  const parts = new Map<number, GroupsPart>();
  try {
    for (let at = 0; at < partsOf(ids); at++) {
      helpers?.ask(at);
      while (!parts.has(at)) {
        // asked first: what they sent until then is there to be collected
        const alone = helpers?.ended() ?? true;
        if (helpers?.collect(parts) ?? false) continue;
        const next = alone || helpers === null ? at : claim(helpers.progress);
        if (next < partsOf(ids)) parts.set(next, readPart(context, ids, next));
        // somebody has taken it, and may have been killed at it
        else if (!(helpers?.wait() ?? false)) parts.set(at, readPart(context, ids, at));
      }
      const {groups, warnings} = parts.get(at) ?? {groups: [], warnings: []};
      parts.delete(at);
      context.attributes.add(warnings);
      yield* groups;
    }
  } finally {
    helpers?.end();
  }
}

export const partsOf = (ids: readonly number[]): number => Math.ceil(ids.length / PART);

/** Takes the next part that nobody has taken. */
const claim = (progress: Int32Array): number => Atomics.add(progress, NEXT, 1);

export const readPart = (context: GroupContext, ids: readonly number[], at: number): GroupsPart => {
  const {result, warnings} = context.attributes.apart(() =>
    context.attributes.tree.near(() =>
      ids
        .slice(at * PART, (at + 1) * PART)
        .map((id) => readGroup(context, id))
        .filter((group) => group !== null),
    ),
  );
  return {groups: result, warnings};
};

/** The same for who helps, once it is not far ahead of what is asked for: more would only fill the memory when the reader is slow. */
export const claimNear = (progress: Int32Array): number => {
  for (;;) {
    const asked = Atomics.load(progress, ASKED);
    if (Atomics.load(progress, NEXT) <= asked + AHEAD) return claim(progress);
    Atomics.wait(progress, ASKED, asked);
  }
};

/** Sends a part to who asked for help. */
export const send = ({port, progress}: HelperTask, at: number, {groups, warnings}: GroupsPart): void => {
  const part: SentPart = {at, packed: packGroups(groups), warnings};
  port.postMessage(part);
  Atomics.add(progress, SENT, 1);
  Atomics.notify(progress, SENT);
};

/** Reports the end of the help to the asking thread, even if the helper took a part and did not finish it. */
export const leaveGroups = (progress: Int32Array): void => {
  Atomics.add(progress, ENDED, 1);
  Atomics.add(progress, SENT, 1);
  Atomics.notify(progress, SENT);
};

/** The memory by which threads agree. */
export const newProgress = (): Int32Array =>
  new Int32Array(new SharedArrayBuffer(PLACES * Int32Array.BYTES_PER_ELEMENT));

interface Helpers {
  progress: Int32Array;
  /** Reports to them which part is the next to be used. */
  ask(at: number): void;
  /** Whether no helper is left. */
  ended(): boolean;
  /** Takes in what they have sent since the last time; false when that is nothing. */
  collect(parts: Map<number, GroupsPart>): boolean;
  /** Waits for more; false when nothing comes in time. */
  wait(): boolean;
  /** Ends the help: no further parts are claimed. */
  end(): void;
}

const startHelpers = (context: GroupContext, ids: readonly number[], root: string): Helpers => {
  // loaded only here: most machines are small
  const {MessageChannel, receiveMessageOnPort, Worker} = process.getBuiltinModule('node:worker_threads');
  const progress = newProgress();
  const {units, vfioDevices, paths, details, noSnoop, version, rule, allUnits, regions} = context;
  const facts = {units, vfioDevices, paths, details, noSnoop, version, rule, allUnits, regions};
  let started = 0;
  const ports = Array.from({length: Math.min(HELPERS, availableParallelism() - 1)}, () => {
    const {port1, port2} = new MessageChannel();
    const workerData: HelperTask = {root, facts, ids, port: port2, progress};
    try {
      new Worker(createRequire(import.meta.url).resolve('#groups-thread'), {
        workerData,
        transferList: [port2],
        env: {},
        execArgv: [],
        resourceLimits: {maxYoungGenerationSizeMb: 4},
      })
        // then it sends nothing, and its part is read here
        .on('error', () => undefined)
        .unref();
      started++;
    } catch (error) {
      // no more threads for this user
      if ((error as NodeJS.ErrnoException).code !== 'ERR_WORKER_INIT_FAILED') throw error;
    }
    return port1;
  });
  const ask = (at: number): void => {
    Atomics.store(progress, ASKED, at);
    Atomics.notify(progress, ASKED);
  };
  let sent = 0;
  return {
    progress,
    ask,
    ended: () => Atomics.load(progress, ENDED) >= started,
    collect: (parts) => {
      sent = Atomics.load(progress, SENT);
      let some = false;
      for (const port of ports) {
        for (let got = receiveMessageOnPort(port); got !== undefined; got = receiveMessageOnPort(port)) {
          some = true;
          const {at, packed, warnings} = got.message as SentPart;
          parts.set(at, {groups: unpackGroups(context, packed), warnings});
        }
      }
      return some;
    },
    wait: () => Atomics.wait(progress, SENT, sent, PATIENCE) !== 'timed-out',
    end: () => {
      Atomics.store(progress, NEXT, partsOf(ids));
      ask(partsOf(ids));
      for (const port of ports) port.close();
    },
  };
};

/** With fewer groups, all are read before a second thread has started. */
const MIN_GROUPS_FOR_HELP = 1000;
/** Each takes about 10 MB, of the 150 that a scan of 50,000 devices may take. */
const HELPERS = 1;
/** Groups that are read at once, which takes a few milliseconds. */
const PART = 50;
/** Milliseconds in which a thread has to send the next part. */
const PATIENCE = 1000;

/** The helper reads at most so many parts beyond the one that is asked for; each has about 26 KB. */
export const AHEAD = 64;

/** Places in the memory by which threads agree: the next part to take. */
export const NEXT = 0;
/** How often a helper has sent something. */
export const SENT = 1;
/** The part that is asked for. */
export const ASKED = 2;
/** How many threads help no more. */
export const ENDED = 3;
const PLACES = 4;
