import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import {createServer, type Server} from 'node:net';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import fc from 'fast-check';
import Groups from '../../src/commands/groups.js';
import Snapshot from '../../src/commands/snapshot.js';
import {MACHINES} from '../fixtures/machines.js';
import {machine} from '../support/machine.js';
import {run, type Outcome} from '../support/run.js';
import {documentOf} from '../support/schema.js';
import {STEERING} from '../support/steering.js';

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
  const end = Date.now() + seconds * 1000;
  await fc.assert(
    fc.asyncProperty(cases, async (one) => {
      if (Date.now() < end) await property(one);
    }),
    {numRuns: seconds * 100, endOnFailure: false},
  );
};

const FLAGS = [
  [],
  ['--explain', '--regions'],
  ['--csv'],
  ['--sort', 'evidence', '--columns', 'evidence,name,iommu,driver,override,reset,snoop'],
];

/** Whatever the machine is, the answer comes, and nothing of it steers the terminal. */
const answers = async (sysroot: string, exits: readonly number[] = [0]): Promise<void> => {
  for (const flags of FLAGS) {
    const {exit, stdout, stderr} = await run(Groups, ['--sysroot', sysroot, ...flags]);
    assert.ok(exits.includes(exit), stderr);
    plain(stdout);
    plain(stderr);
    if (exit !== 0) return;
  }
  const json = await run(Groups, ['--sysroot', sysroot, '--json', '--explain', '--regions']);
  assert.equal(json.exit, 0, json.stdout);
  plain(json.stdout);
  const document = documentOf<object>(json.stdout, 'groups');
  const replayed = await replay(sysroot);
  assert.deepEqual(
    {...documentOf<object>(replayed.stdout, 'groups'), origin: null},
    {...document, origin: null},
  );
};

const replay = async (sysroot: string): Promise<Outcome> => {
  const file = join(FOLDER, 'replay');
  const taken = await run(Snapshot, ['--sysroot', sysroot, file, '--force']);
  assert.equal(taken.exit, 0, taken.stderr);
  plain(taken.stderr);
  return run(Groups, ['--sysroot', file, '--json', '--explain', '--regions']);
};

const plain = (text: string): void => {
  assert.doesNotMatch(text.replaceAll('\n', ''), STEERING);
};

/** Bytes that a damaged or malicious tree may hold in the place of an attribute. */
const content = fc.oneof(
  fc.uint8Array({maxLength: 300}).map((bytes) => Buffer.from(bytes)),
  fc.string({unit: 'binary', maxLength: 100}).map((text) => Buffer.from(text)),
  fc
    .constantFrom(
      '',
      '\n',
      '\0',
      '\u001b[2J\u001b]0;x\u0007',
      '\u009b31m\u202eevil',
      '0xzz',
      '-1',
      '9'.repeat(400),
    )
    .map((text) => Buffer.from(text)),
  fc
    .array(
      fc.constantFrom(
        'DRIVER=',
        'PCI_ID=8086:10D3',
        'PCI_CLASS=',
        'PCI_SLOT_NAME=0000:01:00.0',
        'PCI_CLASS=FFFFFFF',
        '=',
        '\u001b',
      ),
      {maxLength: 8},
    )
    .map((lines) => Buffer.from(lines.join('\n'))),
  fc.constant(Buffer.alloc(1024 * 1024, 'A')),
);

type Damage =
  | {kind: 'content'; bytes: Buffer}
  | {kind: 'folder' | 'pipe' | 'loop' | 'gone' | 'socket'}
  | {kind: 'link'; target: string}
  | {kind: 'neighbour'; name: Buffer};

const damage: fc.Arbitrary<Damage> = fc.oneof(
  {weight: 4, arbitrary: content.map((bytes) => ({kind: 'content' as const, bytes}))},
  {
    weight: 2,
    arbitrary: fc.constantFrom('folder' as const, 'pipe', 'loop', 'gone', 'socket').map((kind) => ({kind})),
  },
  {
    weight: 2,
    arbitrary: fc
      .oneof(
        fc.constantFrom(
          '/etc/passwd',
          '/dev/zero',
          '/',
          '.',
          '..',
          '../../../../../../../../etc',
          '/sys/devices/\u001b[31m',
          '../x/iommu',
        ),
        fc.string({unit: 'binary', minLength: 1, maxLength: 60}).map((text) => text.replaceAll('\0', '0')),
      )
      .map((target) => ({kind: 'link' as const, target})),
  },
  {
    weight: 2,
    arbitrary: fc
      .oneof(
        fc
          .uint8Array({minLength: 1, maxLength: 40, min: 1})
          .map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 0x2f))),
        fc
          .constantFrom('\u001b[2J', 'a\nb', '007', '99999999999', '-1', '0000:01:00.0')
          .map((name) => Buffer.from(name)),
      )
      .filter((name) => name.length > 0 && !['.', '..'].includes(name.toString()))
      .map((name) => ({kind: 'neighbour' as const, name})),
  },
);

/** All files, folders and links below a folder, which themselves are not followed. */
const below = (root: string, folder: string): string[] =>
  readdirSync(join(root, folder), {withFileTypes: true}).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? [path, ...below(root, path)] : [path];
  });

/** Does one harm to a file of the machine at `root`, and to nothing outside it: an earlier link may lead there. */
const inflict = (root: string, path: string, harm: Damage): void => {
  try {
    if (!`${realpathSync(dirname(path))}/`.startsWith(`${realpathSync(root)}/`)) return;
    if (harm.kind === 'neighbour') {
      const name = Buffer.concat([Buffer.from(`${dirname(path)}/`), harm.name]);
      symlinkSync('../../../devices/pci0000:01/0000:01:00.0', name);
      return;
    }
    rmSync(path, {recursive: true, force: true});
    replace(path, harm);
  } catch (error) {
    ignoreEarlierDamage(error);
  }
};

const replace = (path: string, harm: Exclude<Damage, {kind: 'neighbour'}>): void => {
  switch (harm.kind) {
    case 'content':
      writeFileSync(path, harm.bytes);
      break;
    case 'folder':
      mkdirSync(path);
      break;
    case 'pipe':
      spawnSync('mkfifo', [path]);
      break;
    case 'socket':
      linkSync(SOCKET, path);
      break;
    case 'loop':
      symlinkSync(path, path);
      break;
    case 'link':
      symlinkSync(harm.target, path);
      break;
    case 'gone':
      break;
  }
};

/** An earlier damage may have taken the folder, or have made the name already. */
const ignoreEarlierDamage = (error: unknown): void => {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  assert.ok(['ENOENT', 'ENOTDIR', 'EEXIST', 'ELOOP', 'ENAMETOOLONG'].includes(code), code);
};

const PC = MACHINES['a PC whose graphics has an IOMMU unit of its own'] ?? {};

const FOLDER = mkdtempSync(join(tmpdir(), 'kvfio-fuzz-'));
const SOCKET = join(FOLDER, 'socket');

describe('kvfio groups on machines that cannot be', () => {
  let server: Server;
  before((done) => {
    server = createServer().listen(SOCKET, done);
  });
  after((done) => {
    server.close(() => {
      rmSync(FOLDER, {recursive: true});
      done();
    });
  });

  it('answers whatever files, folders and links are damaged', async function () {
    this.timeout(300_000);
    const harms = fc.array(fc.tuple(fc.nat(), damage), {minLength: 1, maxLength: 12});
    await tryFor(8, fc.tuple(fc.constantFrom(...Object.keys(MACHINES)), harms), async ([name, inflicted]) => {
      using built = machine(MACHINES[name]);
      const paths = [...below(built.root, 'sys'), ...below(built.root, 'proc')];
      for (const [at, harm] of inflicted)
        inflict(built.root, built.path(paths[at % paths.length] ?? ''), harm);
      await answers(built.root);
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
      await answers(built.root);
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
          await answers(file, [0, 2]);
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
        await answers(file);
      });
    });
  });
});
