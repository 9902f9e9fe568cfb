import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {chmodSync, closeSync, mkdirSync, openSync, symlinkSync, writeFileSync} from 'node:fs';
import {holdersAmong, readOpenNodes, withoutInherited} from '../../src/vfio/holders.js';
import {deviceNumber} from '../../src/vfio/group-node.js';
import {needs} from '../support/needs.js';
import {ownNode} from '../support/own-node.js';
import {scratch} from '../vm/vmm.js';

const ZERO = deviceNumber(1, 5);
const FULL = deviceNumber(1, 7);

/** Does what it is told to as a user who may not look into the processes of others. */
const unprivileged = <T>(work: () => T): T => {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(65534);
  try {
    return work();
  } finally {
    process.seteuid?.(0);
  }
};

/** The text of /proc/PID/stat. */
const stat = (state: string, {flags = 0x400000, threads = 1} = {}): string =>
  `1 (name) ${state} 1 1 1 0 -1 ${flags} 0 0 0 0 0 0 0 0 20 0 ${threads} 0 0\n`;

describe('what processes have open', () => {
  it('names each process once for a node, however often it has it open', () => {
    using one = ownNode();
    using other = ownNode();
    const fds = [one, one, other].map(({path}) => openSync(path, 'r'));
    try {
      const open = readOpenNodes();
      const numbers = [one.device, other.device];
      for (const number of numbers)
        assert.equal(open.character.get(number)?.filter(({pid}) => pid === process.pid).length, 1);
      assert.equal(holdersAmong(open, numbers).filter(({pid}) => pid === process.pid).length, 1);
    } finally {
      for (const fd of fds) closeSync(fd);
    }
  });

  it('is not told of kvfio itself where it has inherited that, and is where it has it alone', () => {
    const [own, other, another] = [4711, 12, 13].map((pid) => ({pid, comm: 'name'}));
    assert.ok(own && other && another);
    const open = new Map([
      [ZERO, [other, own, another]],
      [FULL, [own]],
    ]);
    assert.deepEqual(
      withoutInherited(open, 4711),
      new Map([
        [ZERO, [other, another]],
        [FULL, [own]],
      ]),
    );
  });

  it('counts processes that may not be looked into, but not kernel threads and what has ended', () => {
    using folder = scratch();
    chmodSync(folder.path(''), 0o755);
    const process = (pid: number, text: string | null): string => {
      const path = folder.path(`${pid}`);
      mkdirSync(`${path}/fd`, {recursive: true});
      if (text !== null) writeFileSync(`${path}/stat`, text);
      writeFileSync(`${path}/comm`, 'name\n');
      return path;
    };
    const closed = (pid: number, text: string | null): string => {
      const path = process(pid, text);
      chmodSync(`${path}/fd`, 0);
      return path;
    };
    symlinkSync('/dev/zero', `${process(2, stat('S'))}/fd/0`);
    closed(3, stat('S', {flags: 0x208040})); // a kernel thread
    closed(4, stat('Z'));
    closed(5, stat('X'));
    closed(6, null); // gone meanwhile
    assert.deepEqual(
      unprivileged(() => readOpenNodes(folder.path(''))),
      {character: new Map([[ZERO, [{pid: 2, comm: 'name'}]]]), block: new Map(), hidden: 0},
    );
    closed(7, stat('S'));
    closed(8, stat('Z', {threads: 2})); // only its first thread has ended
    chmodSync(`${closed(9, stat('S'))}/stat`, 0);
    closed(10, '');
    assert.equal(unprivileged(() => readOpenNodes(folder.path(''))).hidden, 4);
  });

  it('is not known of a process of somebody else, which is counted', async function () {
    needs(this, 'root');
    const zero = openSync('/dev/zero', 'r');
    const child = spawn('sleep', ['60'], {stdio: [zero, 'ignore', 'ignore']});
    closeSync(zero);
    try {
      await once(child, 'spawn');
      const has = (open: ReturnType<typeof readOpenNodes>): boolean =>
        open.character.get(ZERO)?.some(({pid}) => pid === child.pid) ?? false;
      assert.equal(has(readOpenNodes()), true);
      const seen = unprivileged(() => readOpenNodes());
      assert.equal(has(seen), false);
      assert.ok(seen.hidden > 0);
    } finally {
      child.kill('SIGKILL');
    }
  });
});
