import assert from 'node:assert/strict';
import {chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {Failure} from '../../../src/failure.js';
import {FileLock} from '../../../src/linux/file-lock.js';
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
    journal.write(entry('1-1', '0000:01:00.0', '0000:02:00.0'));
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
          journal.write(entry('3-3'));
        },
        () => {
          journal.forget(new Set(['/sys/devices/pci0000:00/0000:01:00.0']));
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
    journal.forget(new Set(['/sys/devices/pci0000:00/0000:01:00.0']));
    assert.deepEqual(
      journal.entries().map(({devices}) => devices.map(({address}) => address)),
      [['0000:02:00.0']],
    );
  });

  it('do not include one that is removed while they are read', () => {
    const journal = new Journal(folder);
    journal.prepare();
    journal.write(entry('1-1', '0000:01:00.0'));
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
    journal.write(entry('1-1', '0000:01:00.0'));
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
