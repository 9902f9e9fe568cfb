import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {writeFileSync} from 'node:fs';
import type {WatchDocument} from '../../src/kvm-vfio/diff-vms.js';
import type {WatchEvent, WatchLine} from '../../src/watch/watch-line.js';
import {watchHost} from '../../src/watch/watch-host.js';
import {needs} from '../support/needs.js';
import {PROJECT, start} from '../support/run.js';
import {documentOf} from '../support/schema.js';
import {startKvfioVm, startVmm} from '../vm/vmm.js';

const KVFIO = [process.execPath, join(PROJECT, 'bin/run.js')];

/** No look at VMs comes of itself in the time of a test. */
const NEVER = ['--interval', '3600'];

describe('kvfio watch', () => {
  before(function () {
    needs(this, 'build');
  });

  it('prints what is there, then that it is ready, and ends with its reader although nothing happens', async () => {
    await using watcher = await startVmm([...KVFIO, 'watch', '--json', ...NEVER]);
    const lines = await linesUntil(watcher, ({event}) => event === 'ready');
    assert.deepEqual(
      lines.slice(0, -1).filter(({event}) => event !== 'present'),
      [],
    );
    assert.equal(lines.at(-1)?.kind, 'host');
    watcher.process.stdout?.destroy();
    const [code] = (await once(watcher.process, 'exit')) as [number | null];
    assert.equal(code, 0);
  });

  it('refuses an empty command', () => {
    const {exit, stderr} = start(['watch', '--exec', ' ']);
    assert.equal(exit, 2);
    assert.match(stderr, /The command of --exec is empty\./);
  });

  it('is refused where the kernel sends nothing: in a network of a user namespace', function () {
    needs(this, 'root');
    const {status, stdout} = spawnSync('unshare', ['-Urn', ...KVFIO, 'watch', '--json'], {encoding: 'utf8'});
    assert.equal(status, 8, stdout);
    assert.equal((JSON.parse(stdout) as {error: {code: string}}).error.code, 'NO_UEVENTS');
  });

  it('sees a VM come and go when KVM says so, and runs the command for each', async function () {
    needs(this, 'kvm');
    const command = 'echo "$KVFIO_KIND $KVFIO_EVENT $KVFIO_PID"';
    await using watcher = await startVmm([
      ...[...KVFIO, 'watch', '--json', '--only', 'vm', '--exec', command, ...NEVER],
    ]);
    await linesUntil(watcher, ({event}) => event === 'ready');
    await using vm = await startKvfioVm(['--sock', `@kvfio-watch-${process.pid}`]);
    await linesUntil(watcher, isOf(vm.pid, 'appeared'));
    await vm.end();
    await linesUntil(watcher, isOf(vm.pid, 'gone'));
    while (!watcher.output().stderr.includes(`vm gone ${vm.pid}\n`)) await sleep(10);
    assert.ok(watcher.output().stderr.includes(`vm appeared ${vm.pid}\n`));
    assert.equal(await watcher.end('SIGINT'), 0);
  });

  it('is as quick as that in vms --watch', async function () {
    needs(this, 'kvm');
    await using watcher = await startVmm([...KVFIO, 'vms', '--watch', '--csv', '--columns', 'pid', ...NEVER]);
    await using vm = await startKvfioVm(['--sock', `@kvfio-watch-${process.pid}`]);
    const until = async (event: WatchDocument['event']): Promise<void> => {
      while (!watcher.output().stdout.includes(`${event},${vm.pid}\n`)) await sleep(10);
    };
    await until('appeared');
    await vm.end();
    await until('gone');
  });
});

describe('a watch of this host that has little room for messages', () => {
  it('says that it lost some, and goes on', async function () {
    needs(this, 'root');
    const ending = new AbortController();
    const seen: string[] = [];
    const change = (): void => {
      writeFileSync('/sys/devices/virtual/mem/null/uevent', 'change');
    };
    await watchHost({
      ...{signal: ending.signal, interval: 3_600_000, room: 4096, kinds: new Set(['device'])},
      onEvents: (events: readonly WatchEvent[]) => {
        seen.push(...events.filter(({kind}) => kind === 'host').map(({event}) => event));
        if (seen.at(-1) === 'ready') for (let count = 0; count < 100; count += 1) change();
        else if (seen.at(-1) === 'lost') ending.abort();
      },
      onWarnings: () => Promise.resolve(),
    });
    assert.deepEqual(seen, ['ready', 'lost']);
  });
});

type Watcher = Awaited<ReturnType<typeof startVmm>>;

/** All lines so far, once there is one that is wanted. */
const linesUntil = async (watcher: Watcher, isWanted: (line: WatchLine) => boolean): Promise<WatchLine[]> => {
  for (;;) {
    const lines = watcher
      .output()
      .stdout.split('\n')
      .slice(0, -1)
      .map((line) => documentOf<WatchLine>(line, 'watch'));
    if (lines.some(isWanted)) return lines;
    await sleep(20);
  }
};

const isOf =
  (pid: number, event: WatchEvent['event']) =>
  (line: WatchLine): boolean =>
    line.vm?.pid === pid && line.event === event;
