import assert from 'node:assert/strict';
import {existsSync} from 'node:fs';
import {once} from 'node:events';
import {availableParallelism} from 'node:os';
import {setTimeout} from 'node:timers/promises';
import {MessageChannel, receiveMessageOnPort, Worker} from 'node:worker_threads';
import {Attributes} from '../../src/host/attributes.js';
import type {Group, GroupContext} from '../../src/iommu/group.js';
import {Interned} from '../../src/iommu/interned.js';
import {PciIds} from '../../src/pci/ids.js';
import {
  AHEAD,
  ASKED,
  ENDED,
  newProgress,
  NEXT,
  partsOf,
  readGroups,
  SENT,
  type SharedContext,
  type HelperTask,
} from '../../src/iommu/read-groups.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {machine, pci, type Machine} from '../support/machine.js';
import {made} from '../support/made.js';
import {needs} from '../support/needs.js';
import {buildOnce} from '../support/run.js';
import {skip} from '../support/skip.js';

const IDS = Array.from({length: 1200}, (_, id) => id);

/** More parts than may be taken ahead; a thread does not mind groups that come again. */
const MANY = Array.from({length: (AHEAD + 20) * 50}, (_, at) => at % IDS.length);

/** Remembers which groups this thread has read. */
class Noting extends DirectoryTree {
  readonly groups = new Set<number>();

  override list(path: string): ReturnType<DirectoryTree['list']> {
    const id = /^\/sys\/kernel\/iommu_groups\/(\d+)\/devices$/.exec(path)?.[1];
    if (id !== undefined) this.groups.add(Number(id));
    return super.list(path);
  }
}

const FACTS: SharedContext = {
  units: new Map(),
  allUnits: [],
  vfioDevices: new Set(),
  paths: false,
  details: true,
  noSnoop: true,
  regions: false,
  version: null,
  rule: {coherencyRule: 'devices', coherencyRuleFrom: 'version'},
};

const contextOf = (tree: DirectoryTree, facts: Partial<SharedContext> = {}): GroupContext => ({
  attributes: new Attributes(tree),
  ids: PciIds.NONE,
  interned: new Interned(),
  hops: new Map(),
  regionsOf: new Map(),
  ...FACTS,
  ...facts,
});

/** Takes all groups, and does something else before the second of each part. */
const taken = async (
  groups: Iterable<Group>,
  between: (id: number) => Promise<unknown>,
): Promise<number[]> => {
  const ids: number[] = [];
  for (const {id} of groups) {
    ids.push(id);
    if (id % 50 === 0) await between(id);
  }
  return ids;
};

/** The next thread that this one starts. */
const nextWorker = (): Promise<Worker> =>
  new Promise((resolve) => {
    process.once('worker', resolve);
  });

const died = (worker: Worker): Promise<unknown> =>
  new Promise((resolve) => {
    worker.once('error', resolve);
  });

const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await setTimeout(5);
};

describe('a thread that helps to read groups', () => {
  let built: Machine;
  made(function () {
    this.timeout(60_000);
    needs(this, 'build');
    buildOnce();
    const device = (id: number): string =>
      `${(id >> 8).toString(16).padStart(4, '0')}:${(id & 0xff).toString(16).padStart(2, '0')}:00.0`;
    return (built = machine(
      {groups: Object.fromEntries(IDS.map((id) => [id, [pci(device(id), {unit: 'dmar0'})]]))},
      existsSync('/dev/shm') ? '/dev/shm' : undefined,
    ));
  });

  it('reads groups that who asked for help then does not', async function () {
    if (availableParallelism() < 2) skip(this, 'one CPU gives no help');
    const tree = new Noting(built.root);
    const worker = nextWorker();
    let isReading = false;
    const ids = await taken(readGroups(contextOf(tree), IDS), async (id) => {
      if (id === 0) await once(await worker, 'online');
      isReading ||= !tree.groups.has(id);
      if (!isReading) await setTimeout(100);
    });
    assert.deepEqual(ids, IDS);
    assert.ok(tree.groups.size < IDS.length, 'all were read by the thread that asked for help');
  });

  it('costs no wait when it dies, nor a group', async function () {
    if (availableParallelism() < 2) skip(this, 'one CPU gives no help');
    // what is sent to a thread is sent without its methods
    class Units {
      get(): undefined {
        return undefined;
      }
    }
    const units = new Units() as unknown as GroupContext['units'];
    const tree = new Noting(built.root);
    const {wait} = Atomics;
    const waits: string[] = [];
    Atomics.wait = (...args: unknown[]) => {
      const outcome = Reflect.apply(wait, Atomics, args) as ReturnType<typeof wait>;
      waits.push(outcome);
      return outcome;
    };
    const worker = nextWorker();
    let error: unknown;
    try {
      const ids = await taken(readGroups(contextOf(tree, {units}), IDS), async (id) => {
        if (id === 0) error = await died(await worker);
      });
      assert.match(String(error), /TypeError/);
      assert.deepEqual(ids, IDS);
    } finally {
      Atomics.wait = wait;
    }
    assert.equal(tree.groups.size, IDS.length);
    assert.ok(!waits.includes('timed-out'), waits.join());
  });

  describe('by itself', () => {
    const started = (
      over: Partial<SharedContext> = {},
    ): {progress: Int32Array; sent: () => number[]; worker: Worker} => {
      const facts: SharedContext = {...FACTS, ...over};
      const {port1, port2} = new MessageChannel();
      const progress = newProgress();
      const workerData: HelperTask = {root: built.root, facts, ids: MANY, port: port2, progress};
      const worker = new Worker(new URL('../../dist/bundle/iommu/groups-thread.js', import.meta.url), {
        workerData,
        transferList: [port2],
      });
      return {
        progress,
        worker,
        sent: () => {
          const parts: number[] = [];
          for (let got = receiveMessageOnPort(port1); got !== undefined; got = receiveMessageOnPort(port1))
            parts.push((got.message as {at: number}).at);
          return parts;
        },
      };
    };

    it('takes no part far ahead of the one that is asked for, and goes on when that is', async () => {
      const {progress, worker, sent} = started();
      const upTo = (end: number): number[] => Array.from({length: end}, (_, at) => at);
      try {
        await until(() => Atomics.load(progress, SENT) > AHEAD);
        // the time of all parts
        await setTimeout(300);
        assert.equal(Atomics.load(progress, NEXT), AHEAD + 1);
        const first = sent();
        assert.deepEqual(first, upTo(AHEAD + 1));

        Atomics.store(progress, ASKED, 3);
        Atomics.notify(progress, ASKED);
        await until(() => Atomics.load(progress, SENT) > AHEAD + 3);
        assert.deepEqual([...first, ...sent()], upTo(AHEAD + 4));

        // as at the end of all
        Atomics.store(progress, NEXT, partsOf(MANY));
        Atomics.store(progress, ASKED, partsOf(MANY));
        Atomics.notify(progress, ASKED);
        await until(() => Atomics.load(progress, ENDED) === 1);
        assert.deepEqual(sent(), []);
      } finally {
        await worker.terminate();
      }
    });

    it('says that it has ended when it dies', async () => {
      const {progress, worker, sent} = started({units: {} as GroupContext['units']});
      assert.match(String(await died(worker)), /TypeError/);
      assert.deepEqual(
        [NEXT, SENT, ENDED].map((place) => Atomics.load(progress, place)),
        [1, 1, 1],
      );
      assert.deepEqual(sent(), []);
    });
  });
});
