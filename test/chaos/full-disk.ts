import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {Failure} from '../../src/failure.js';
import {bindDevices, type BindOptions} from '../../src/vfio/bind/bind.js';
import {recoverDevices} from '../../src/vfio/bind/recover.js';
import {unbindDevices} from '../../src/vfio/bind/unbind.js';
import {GROUPS, NATIVES, twoGroups} from '../support/two-groups.js';
import {SimulatedBus} from '../vfio/bind/simulated-bus.js';
import {endsProperly, kvfio} from './kvfio.js';
import {WatchedVictim, change} from './owners.js';
import {arenaOfTrial} from './programs.js';
import type {Tally, Trial} from './trial.js';

export const trial: Trial = {
  what: 'full disk, for journals and outputs',
  needs: ['x64', 'kvm', 'cc'],
  run: async (tally) => {
    const cuts = await journals(tally);
    const outputs = await answers(tally);
    const files = await written(tally);
    tally.detail = `journal: full after each of ${cuts} changes of bind and unbind; stdout full for ${outputs} commands; ${files} kinds of files`;
  },
};

/** A file system of a few pages, which can be filled. */
class SmallDisk implements Disposable {
  readonly path: string;
  #filled = 0;

  constructor(path: string, pages = 16) {
    this.path = path;
    mkdirSync(path, {recursive: true});
    execFileSync('mount', ['-t', 'tmpfs', '-o', `mode=755,size=${pages * 4}k,nr_inodes=40`, 'tmpfs', path]);
  }

  /** @param spare - pages that stay free */
  fill(spare = 0): void {
    const name = join(this.path, `fill-${(this.#filled += 1)}`);
    const fd = openSync(name, 'w');
    try {
      for (;;) writeSync(fd, Buffer.alloc(4096));
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
    } finally {
      closeSync(fd);
    }
    if (spare === 0) this.#useUpInodes();
    else execFileSync('truncate', ['-s', `-${spare * 4096}`, name]);
  }

  /** An empty file needs no page, and a socket neither. */
  #useUpInodes(): void {
    try {
      for (;;) closeSync(openSync(join(this.path, `fill-${(this.#filled += 1)}`), 'w'));
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
    }
  }

  makeRoom(): void {
    for (const name of readdirSync(this.path)) if (name.startsWith('fill-')) rmSync(join(this.path, name));
  }

  [Symbol.dispose](): void {
    execFileSync('umount', ['-l', this.path]);
    rmSync(this.path, {recursive: true, force: true});
  }
}

/** @returns how many changes there are to be interrupted */
const journals = async (tally: Tally): Promise<number> => {
  let most = 0;
  for (let fullAfter = 0; fullAfter <= most + 1; fullAfter += 1) {
    await tally.round(async () => {
      using built = twoGroups();
      using disk = new SmallDisk(built.path('run/kvfio/bind'));
      const bus = new SimulatedBus(built, NATIVES);
      const before = bus.state();
      let changes = 0;
      const count = (): void => {
        changes += 1;
        if (changes === fullAfter) disk.fill();
      };
      bus.observe = count;
      if (fullAfter === 0) disk.fill();
      const bound = await attempt(bindDevices(GROUPS, options(bus)));
      const unbound = await attempt(unbindDevices(GROUPS, options(bus)));
      most = Math.max(most, changes);
      disk.makeRoom();
      bus.observe = () => undefined;
      await recoverDevices(options(bus));
      await unbindDevices(GROUPS, options(bus));
      assert.deepEqual(bus.state(), before, `full after ${fullAfter} changes: ${bound}, ${unbound}`);
      assert.deepEqual(
        readdirSync(disk.path).filter((name) => name.endsWith('.json') || name.endsWith('.tmp')),
        [],
      );
    });
  }
  return most;
};

const options = (bus: SimulatedBus): BindOptions => ({
  ...{dryRun: false, force: [], timeout: 1, owner: null},
  onNote: () => undefined,
  setting: bus.setting(),
});

const attempt = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
    return 'done';
  } catch (error) {
    if (error instanceof Failure) return error.code;
    throw error;
  }
};

/** Who gets no answer is told so by the exit code, and what the command has done holds. */
const answers = async (tally: Tally): Promise<number> => {
  using arena = arenaOfTrial();
  const owner = await WatchedVictim.start(arena, ['poll']);
  const pid = ['--pid', String(owner.pid)];
  const commands: (() => readonly string[])[] = [
    () => change(owner.hasDevice, ...pid),
    () => change(owner.hasDevice, ...pid),
    () => ['status', ...pid],
    () => ['vms'],
    () => ['groups'],
    () => ['snapshot', '-'],
    () => ['doctor'],
    () => ['probe', '--operation', 'cpuid', '--samples', '20', '--warmup', '1', '--spread', '0'],
    () => ['probe', '--operation', 'cpuid', '--samples', '20', '--warmup', '1', '--spread', '0', '--csv'],
    () => ['completion', 'bash'],
    () => ['--help'],
  ];
  using disk = new SmallDisk(join(tmpdir(), 'small'));
  for (const argv of commands) {
    await tally.round(async () => {
      const fd = openSync('/dev/full', 'w');
      try {
        const had = owner.hasDevice;
        const words = argv();
        const {exit, signal, stderr} = await kvfio(words, {stdout: fd});
        const shown = `${words.join(' ')} > /dev/full: exit ${exit ?? signal ?? ''}\n${stderr}`;
        assert.equal(exit, 6, shown);
        assert.match(stderr, /^kvfio: .+\n {2}.*ENOSPC.*\n {2}.+$/m, shown);
        if (words[0] === 'create' || words[0] === 'detach') assert.notEqual(owner.hasDevice, had, shown);
      } finally {
        closeSync(fd);
      }
      await owner.check(tally, 'stdout full');
    });
    for (const spare of [0, 1]) {
      await tally.round(async () => {
        const file = join(disk.path, 'answer');
        const fd = openSync(file, 'w');
        disk.fill(spare);
        const words = argv();
        const {exit, signal, stderr} = await kvfio(words, {stdout: fd});
        closeSync(fd);
        const size = readFileSync(file).length;
        rmSync(file);
        disk.makeRoom();
        const shown = `${words.join(' ')} > a disk with ${spare} pages: exit ${exit ?? signal ?? ''}, ${size} bytes\n${stderr}`;
        // what fits is written whole
        assert.ok(exit === 6 || ((exit === 0 || exit === 7) && size > 0 && size < spare * 4096), shown);
        await owner.check(tally, 'disk full');
      });
    }
  }
  return commands.length;
};

/** Files that kvfio writes are there whole or not at all, and one that was there stays. */
const written = async (tally: Tally): Promise<number> => {
  using disk = new SmallDisk(join(tmpdir(), 'small'));
  const probe = ['probe', '--operation', 'cpuid', '--samples', '20', '--warmup', '1', '--spread', '0'];
  const writers: ((file: string) => readonly string[])[] = [
    (file) => ['snapshot', `${file}.json`],
    (file) => ['snapshot', `${file}.json.gz`],
    (file) => [...probe, '--svg', `${file}.svg`],
    (file) => ['vm', '--sock', `${file}.sock`],
  ];
  for (const argv of writers) {
    const words = argv(join(disk.path, 'file'));
    const file = words.at(-1) ?? '';
    for (const old of [null, 'precious']) {
      await tally.round(async () => {
        if (words[0] === 'vm' && old !== null) return;
        if (old !== null) writeFileSync(file, old);
        disk.fill();
        const ending = await kvfio([...words, '--json', ...(old === null ? [] : ['--force'])]);
        endsProperly(ending);
        assert.notEqual(ending.exit, 0, `${words.join(' ')} on a full disk`);
        assert.equal(existsSync(file) ? readFileSync(file, 'utf8') : null, old, words.join(' '));
        disk.makeRoom();
        rmSync(file, {force: true});
        assert.deepEqual(readdirSync(disk.path), [], words.join(' '));
      });
      disk.makeRoom();
    }
  }
  return writers.length;
};
