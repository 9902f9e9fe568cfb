import {once} from 'node:events';
import {mkdirSync, rmSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import fc from 'fast-check';
import Snapshot from '../../src/commands/snapshot.js';
import {MACHINES} from '../fixtures/machines.js';
import {machine} from '../support/machine.js';
import {made} from '../support/made.js';
import {rounds} from '../support/pace.js';
import {run} from '../support/run.js';
import {answers} from './answers.js';
import {below, damage, inflict} from './damage.js';

/**
 * Tries cases for some seconds; a failure prints its seed and the smallest case found.
 *
 * (fast-check's own time limits leave the running case alone with what comes next, or count as failures.)
 */
const tryFor = async <T>(
  seconds: number,
  cases: fc.Arbitrary<T>,
  property: (one: T) => Promise<void>,
): Promise<void> => {
  const end = Date.now() + rounds(seconds * 1000);
  await fc.assert(
    fc.asyncProperty(cases, async (one) => {
      if (Date.now() < end) await property(one);
    }),
    {numRuns: rounds(seconds * 100), endOnFailure: false},
  );
};

const PC = MACHINES['a PC whose graphics has an IOMMU unit of its own'] ?? {};

const FOLDER = join(tmpdir(), `kvfio-fuzz-${process.pid}`);
const SOCKET = join(FOLDER, 'socket');

describe('kvfio groups on machines that cannot be', () => {
  made(async () => {
    mkdirSync(FOLDER);
    const server = createServer().listen(SOCKET);
    await once(server, 'listening');
    return {
      [Symbol.asyncDispose]: async () => {
        server.close();
        await once(server, 'close');
        rmSync(FOLDER, {recursive: true});
      },
    };
  });

  it('answers whatever files, folders and links are damaged', async function () {
    this.timeout(300_000);
    const harms = fc.array(fc.tuple(fc.nat(), damage), {minLength: 1, maxLength: 12});
    await tryFor(8, fc.tuple(fc.constantFrom(...Object.keys(MACHINES)), harms), async ([name, inflicted]) => {
      using built = machine(MACHINES[name]);
      const paths = [...below(built.root, 'sys'), ...below(built.root, 'proc')];
      for (const [at, harm] of inflicted)
        inflict({root: built.root, socket: SOCKET}, built.path(paths[at % paths.length] ?? ''), harm);
      await answers(built.root, FOLDER);
    });
  });

  it('answers whatever a configuration space holds', async function () {
    this.timeout(300_000);
    using built = machine(PC);
    const file = built.path('sys/devices/pci0000:00/0000:00:1c.0/0000:01:00.0/config');
    await tryFor(3, fc.uint8Array({maxLength: 4096, size: 'max'}), async (bytes) => {
      // a capability list, so that what follows is looked at
      if (bytes.length > 6) bytes[6] = 0x10;
      writeFileSync(file, bytes);
      await answers(built.root, FOLDER);
    });
  });

  describe('from a capture', () => {
    const file = join(FOLDER, 'capture');

    it('answers, or refuses a file that is none', async function () {
      this.timeout(300_000);
      await tryFor(
        2,
        fc.oneof(fc.json({stringUnit: 'binary'}), fc.string({unit: 'binary'})),
        async (text) => {
          writeFileSync(file, text);
          await answers(file, FOLDER, [0, 2]);
        },
      );
    });

    it('answers whatever a capture says of a machine', async function () {
      this.timeout(300_000);
      using built = machine(PC);
      const {stdout} = await run(Snapshot, ['--sysroot', built.root, '-']);
      const capture = JSON.parse(stdout) as Record<string, Record<string, unknown>>;
      const entries = ['texts', 'parts', 'links', 'directories', 'refusals'].flatMap((shelf) =>
        Object.keys(capture[shelf] ?? {}).map((path) => [shelf, path] as const),
      );
      const texts = fc.string({unit: 'binary', maxLength: 60});
      const values: Record<string, fc.Arbitrary<unknown>> = {
        texts,
        parts: fc.dictionary(
          fc.nat(300).map(String),
          fc.oneof(texts, fc.stringMatching(/^[0-9a-f]{0,128}$/)),
        ),
        links: fc.oneof(texts, fc.constantFrom(...entries.map(([, path]) => path))),
        directories: fc.array(fc.oneof(texts, fc.constantFrom('0', '7', '0000:01:00.0', 'dmar0')), {
          maxLength: 5,
        }),
        refusals: fc.integer(),
      };
      const change = fc.constantFrom(...entries).chain(([shelf, path]) =>
        fc.record({
          shelf: fc.constant(shelf),
          path: fc.constant(path),
          value: values[shelf] ?? texts,
          gone: fc.boolean(),
        }),
      );
      await tryFor(5, fc.array(change, {minLength: 1, maxLength: 10}), async (changes) => {
        const changed = structuredClone(capture);
        for (const {shelf, path, value, gone} of changes) {
          if (gone) delete changed[shelf]?.[path];
          else (changed[shelf] ??= {})[path] = value;
        }
        writeFileSync(file, JSON.stringify(changed));
        await answers(file, FOLDER);
      });
    });
  });
});
