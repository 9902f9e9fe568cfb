import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {Failure} from '../../../src/failure.js';
import {FileLock} from '../../../src/linux/lock/file-lock.js';
import {Journal, type JournalEntry} from '../../../src/vfio/bind/journal.js';

const entry = (id: string, ...addresses: string[]): JournalEntry => ({
  kvfioJournal: 1,
  id,
  command: 'bind',
  state: 'done',
  boot: '',
  pid: 1,
  members: addresses,
  devices: addresses.map((address) => ({
    address,
    path: `/sys/devices/pci0000:00/${address}`,
    id: '8086:10d3',
    group: 1,
    original: {driver: null, override: null},
    module: null,
  })),
  nodes: [],
});

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof Failure, String(error));
    return error.code;
  }
  return 'it did not fail';
};

describe('the journals', () => {
  let folder: string;

  beforeEach(() => {
    folder = join(mkdtempSync(join(tmpdir(), 'kvfio-test-')), 'bind');
  });

  afterEach(() => {
    rmSync(join(folder, '..'), {recursive: true});
  });

  it('are left alone while another process is at them', () => {
    const journal = new Journal(folder, {patience: 20});
    journal.prepare();
    const both = entry('1-1', '0000:01:00.0', '0000:02:00.0');
    journal.begin(both);
    journal.end(both, 'done');
    const before = readdirSync(folder);
    writeFileSync(join(folder, '2-2.json.tmp'), 'of a process that writes');
    {
      using lock = FileLock.tryTake(journal.lockPath('.journal'));
      assert.ok(lock);
      const works = [
        () => {
          journal.prepare();
        },
        () => journal.entries(),
        () => {
          journal.begin(entry('3-3'));
        },
        () => {
          journal.end(entry('3-3', '0000:01:00.0'), 'removed');
        },
        () => {
          journal.remove(entry('1-1'));
        },
      ];
      assert.deepEqual(works.map(codeOf), Array(5).fill('JOURNAL_BUSY'));
      assert.deepEqual(readdirSync(folder).sort(), [...before, '2-2.json.tmp'].sort());
    }
    journal.prepare();
    assert.deepEqual(readdirSync(folder).sort(), before.sort());
    journal.end(entry('3-3', '0000:01:00.0'), 'removed');
    assert.deepEqual(
      journal.entries().map(({devices}) => devices.map(({address}) => address)),
      [['0000:02:00.0']],
    );
  });

  it('need no room at their end that they did not have at their begin', () => {
    const journal = new Journal(folder);
    journal.prepare();
    const bound = entry('1-1', '0000:01:00.0', '0000:02:00.0');
    journal.begin(bound);
    journal.end(bound, 'done');
    const returned = {...entry('2-2', '0000:01:00.0'), command: 'unbind' as const, state: 'open' as const};
    journal.begin(returned);
    const inodes = (): number[] =>
      readdirSync(folder)
        .filter((name) => !name.endsWith('.lock'))
        .map((name) => statSync(join(folder, name)).ino);
    const reserved = inodes();
    journal.end(returned, 'removed');
    assert.deepEqual(
      inodes().filter((inode) => !reserved.includes(inode)),
      [],
    );
    assert.deepEqual(
      journal.entries().map(({id, devices}) => [id, devices.map(({address}) => address)]),
      [['1-1', ['0000:02:00.0']]],
    );
    assert.deepEqual(readdirSync(folder).sort(), ['.journal.lock', '1-1.json']);
  });

  it('say so when there is no room for them or their end, and leave nothing', () => {
    const journal = new Journal(folder);
    journal.prepare();
    for (const name of ['1-1.0.room', '1-1.json.tmp']) {
      mkdirSync(join(folder, name));
      assert.equal(
        codeOf(() => {
          journal.begin(entry('1-1', '0000:01:00.0'));
        }),
        'JOURNAL_NOT_WRITTEN',
      );
      rmSync(join(folder, name), {recursive: true, force: true});
      assert.deepEqual(readdirSync(folder), ['.journal.lock']);
    }
  });

  it('clear away the room of a process that was killed before its entry was written', () => {
    const journal = new Journal(folder);
    journal.prepare();
    journal.begin(entry('1-1', '0000:01:00.0'));
    writeFileSync(join(folder, '2-2.0.room'), '');
    journal.prepare();
    assert.deepEqual(readdirSync(folder).sort(), ['.journal.lock', '1-1.0.room', '1-1.json']);
    journal.remove(entry('1-1'));
    assert.deepEqual(readdirSync(folder).sort(), ['.journal.lock']);
  });

  it('are refused below a folder in which others may rename theirs, unless it is sticky', () => {
    const journal = new Journal(folder);
    journal.prepare();
    const parent = join(folder, '..');
    chmodSync(parent, 0o777);
    assert.equal(
      codeOf(() => journal.entries()),
      'JOURNAL_NOT_PRIVATE',
    );
    chmodSync(parent, 0o1777);
    assert.deepEqual(journal.entries(), []);
  });

  it('do not include one that is removed while they are read', () => {
    const journal = new Journal(folder);
    journal.prepare();
    journal.begin(entry('1-1', '0000:01:00.0'));
    symlinkSync('nothing', join(folder, '2-2.json'));
    assert.deepEqual(
      journal.entries().map(({id}) => id),
      ['1-1'],
    );
  });

  it('are none where there is no folder, which is not made', () => {
    assert.deepEqual(new Journal(folder).entries(), []);
    mkdirSync(folder);
    assert.deepEqual(new Journal(folder).entries(), []);
  });

  it('are refused in a folder that others may write to, or that is a link', () => {
    mkdirSync(folder);
    chmodSync(folder, 0o777);
    const journal = new Journal(folder);
    const prepare = (): void => {
      journal.prepare();
    };
    assert.deepEqual(
      [codeOf(prepare), codeOf(() => journal.entries())],
      Array(2).fill('JOURNAL_NOT_PRIVATE'),
    );
    rmSync(folder, {recursive: true});
    symlinkSync(tmpdir(), folder);
    assert.equal(codeOf(prepare), 'JOURNAL_NOT_PRIVATE');
  });

  it('may be damaged where they are about other devices', () => {
    const journal = new Journal(folder);
    journal.prepare();
    journal.begin(entry('1-1', '0000:01:00.0'));
    const newer = {...entry('2-2', '0000:02:00.0'), kvfioJournal: 2};
    const other = join(folder, '2-2.json');
    writeFileSync(other, JSON.stringify(newer));
    assert.equal(
      codeOf(() => journal.entries()),
      'JOURNAL_DAMAGED',
    );
    assert.equal(
      codeOf(() => journal.entries(['0000:02:00.0'])),
      'JOURNAL_DAMAGED',
    );
    assert.deepEqual(
      journal.entries(['0000:01:00.0']).map(({id}) => id),
      ['1-1'],
    );
    assert.deepEqual(
      journal.damaged().map(({code}) => code),
      ['JOURNAL_DAMAGED'],
    );
    for (const cut of [0, 50, 200]) {
      writeFileSync(other, JSON.stringify(newer).slice(0, cut));
      assert.equal(
        codeOf(() => journal.entries(['0000:01:00.0'])),
        'JOURNAL_DAMAGED',
        'it may be about any',
      );
    }
  });

  it('that are a folder do not send the user to root', () => {
    const journal = new Journal(folder);
    journal.prepare();
    mkdirSync(join(folder, '1-1.json'));
    try {
      journal.entries();
      assert.fail();
    } catch (error) {
      assert.ok(error instanceof Failure);
      assert.deepEqual([error.code, error.errno], ['JOURNAL_NOT_READ', 'EISDIR']);
      assert.doesNotMatch(error.hint, /as root/);
    }
  });
});
