import assert from 'node:assert/strict';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {isStatic, runApt, which} from '../../src/lab/programs.js';
import {Failure} from '../../src/failure.js';

describe('programs of the lab', () => {
  it('tells a program that needs a loader from one that does not', () => {
    assert.equal(isStatic(readFileSync(process.execPath)), false);
    assert.equal(isStatic(Buffer.from('#!/bin/sh\n')), false);
    const busybox = which('busybox', '/bin');
    if (busybox !== null) assert.equal(isStatic(readFileSync(busybox)), true);
  });

  it('finds programs in the folders of the system that a user has not on PATH', () => {
    assert.match(which('ldconfig', '/nonexistent') ?? '', /sbin\/ldconfig$/);
    assert.equal(which('no-such-program', '/bin'), null);
  });

  it('never takes a program from a relative folder of PATH', () => {
    assert.equal(which('package.json', '.'), null);
  });
});

describe('apt-get (a stand-in that finds a lock held)', () => {
  let folder: string;
  const standIn = (script: string): string => {
    const file = join(folder, 'apt-get');
    writeFileSync(file, `#!/bin/sh\ncd "\${0%/*}"\n${script}`, {mode: 0o755});
    return file;
  };
  const LOCKED =
    'echo "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1 (apt)" >&2; exit 100';

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kvfio-test-'));
  });

  afterEach(() => {
    rmSync(folder, {recursive: true});
  });

  it('is run again until the other apt has ended, which is noted once', async () => {
    const notes: string[] = [];
    const file = standIn(`echo >> runs; [ "$(wc -l < runs)" -ge 3 ] || { ${LOCKED}; }`);
    await runApt(file, ['update'], {onNote: (line) => notes.push(line)});
    assert.deepEqual(notes, ['waiting for another apt to end']);
    assert.equal(readFileSync(join(folder, 'runs'), 'utf8'), '\n\n\n');
  });

  it('is given up when the other apt does not end', async () => {
    await assert.rejects(
      runApt(standIn(LOCKED), ['update'], {patience: 0}),
      (error) => error instanceof Failure && error.why.includes('lists/lock'),
    );
  });

  it('is run once when it fails for another reason', async () => {
    const file = standIn('echo >> runs; echo "E: no network" >&2; exit 100');
    await assert.rejects(runApt(file, ['update']), (error) => error instanceof Failure);
    assert.equal(readFileSync(join(folder, 'runs'), 'utf8'), '\n');
  });
});
