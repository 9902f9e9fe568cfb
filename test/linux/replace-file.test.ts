import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {Failure} from '../../src/failure.js';
import {checkReplaceable, replaceFile} from '../../src/linux/replace-file.js';

describe('writing a whole file', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'kvfio-replace-'))));
  afterEach(() => {
    rmSync(folder, {recursive: true});
  });

  const write = (name: string, text: string, force = false): void => {
    replaceFile(join(folder, name), Buffer.from(text), {force});
  };
  const refused = (call: () => void): [string | null, number] => {
    try {
      call();
    } catch (error) {
      assert.ok(error instanceof Failure);
      return [error.errno, error.exitCode];
    }
    return assert.fail('it was not refused');
  };
  const text = (name: string): string => readFileSync(join(folder, name), 'utf8');

  it('leaves the file and nothing beside it', () => {
    write('a', 'text');
    assert.equal(text('a'), 'text');
    assert.deepEqual(readdirSync(folder), ['a']);
  });

  it('writes an empty file and a large one', () => {
    write('empty', '');
    write('large', 'x'.repeat(3_000_000));
    assert.deepEqual([text('empty').length, text('large').length], [0, 3_000_000]);
  });

  it('refuses a file that exists, and changes nothing', () => {
    write('a', 'old');
    assert.deepEqual(
      refused(() => {
        write('a', 'new');
      }),
      ['EEXIST', 5],
    );
    assert.equal(text('a'), 'old');
    assert.deepEqual(readdirSync(folder), ['a']);
  });

  it('refuses a link, even one that leads nowhere', () => {
    symlinkSync('nowhere', join(folder, 'a'));
    assert.deepEqual(
      refused(() => {
        write('a', 'new');
      }),
      ['EEXIST', 5],
    );
    assert.deepEqual(readdirSync(folder), ['a']);
  });

  it('replaces a file when told to', () => {
    write('a', 'old');
    write('a', 'new', true);
    assert.equal(text('a'), 'new');
    assert.deepEqual(readdirSync(folder), ['a']);
  });

  it('never replaces a pipe or a device', () => {
    assert.equal(spawnSync('mkfifo', [join(folder, 'a')]).status, 0);
    assert.deepEqual(
      refused(() => {
        write('a', 'new', true);
      }),
      ['EEXIST', 5],
    );
    assert.throws(
      () => {
        write('a', 'new', true);
      },
      {
        why: 'It exists and is not a regular file: kvfio never replaces such a file.',
        hint: 'Name another file.',
      },
    );
    assert.ok(lstatSync(join(folder, 'a')).isFIFO());
  });

  it('is not stopped by what a killed process with the same number has left', () => {
    writeFileSync(join(folder, `.${process.pid}.kvfio-tmp`), 'half');
    write('a', 'whole');
    assert.equal(text('a'), 'whole');
  });

  it("refuses a folder that does not exist, and a folder in the file's place", () => {
    assert.deepEqual(
      refused(() => {
        write('b/a', '');
      }),
      ['ENOENT', 3],
    );
    write('file', '');
    assert.deepEqual(
      refused(() => {
        write('file/a', '');
      }),
      ['ENOTDIR', 3],
    );
    mkdirSync(join(folder, 'c'));
    assert.deepEqual(
      refused(() => {
        write('c', '', true);
      }),
      ['EISDIR', 2],
    );
    assert.deepEqual(readdirSync(folder), ['c', 'file']);
  });

  it('is foreseen to fail as it then does, and leaves nothing behind', () => {
    mkdirSync(join(folder, 'c'));
    writeFileSync(join(folder, 'there'), 'old');
    assert.equal(spawnSync('mkfifo', [join(folder, 'pipe')]).status, 0);
    const before = readdirSync(folder);
    for (const [name, force] of [
      ['b/a', false],
      ['there/a', false],
      ['there', false],
      ['c', true],
      ['c', false],
      ['pipe', true],
    ] as const) {
      const path = join(folder, name);
      const foreseen = refused(() => {
        checkReplaceable(path, {force});
      });
      assert.deepEqual(
        foreseen,
        name === 'c'
          ? ['EISDIR', 2]
          : refused(() => {
              write(name, '', force);
            }),
        name,
      );
    }
    checkReplaceable(join(folder, 'new'), {force: false});
    checkReplaceable(join(folder, 'there'), {force: true});
    assert.deepEqual(readdirSync(folder), before);
    assert.equal(text('there'), 'old');
  });
});
