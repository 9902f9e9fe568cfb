import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import Vms from '../../src/commands/vms.js';
import type {WatchDocument} from '../../src/kvm-vfio/diff-vms.js';
import type {VmsDocument} from '../../src/kvm-vfio/vms.js';
import {needs} from '../support/needs.js';
import {PROJECT, run, start} from '../support/run.js';
import {documentOf} from '../support/schema.js';
import {scratch, startKvfioVm, startVmm} from '../vm/vmm.js';

const KVFIO = [process.execPath, join(PROJECT, 'bin/run.js')];

describe('kvfio vms', function () {
  this.timeout(60_000);
  before(function () {
    needs(this, 'build', 'kvm');
  });

  it('prints one document that its schema describes', async () => {
    await using vm = await startKvfioVm(['--sock', `@kvfio-list-${process.pid}`]);
    const {exit, stdout} = await run(Vms, ['--json']);
    assert.equal(exit, 0);
    const document = documentOf<VmsDocument>(stdout, 'vms');
    const found = document.vms.find(({pid}) => pid === vm.pid);
    assert.deepEqual([found?.vcpus, found?.device.all, found?.coherency.state], [0, [], 'coherent']);
    assert.ok((found?.memory.resident ?? 0) > 10 * 1024 * 1024);
  });

  it('has the columns that are asked for', async () => {
    await using vm = await startKvfioVm(['--sock', `@kvfio-list-${process.pid}`]);
    const {stdout} = await run(Vms, [
      '--columns',
      'pid,device,coherency',
      '--csv',
      '--no-header',
      '--sort',
      'pid',
    ]);
    assert.ok(stdout.split('\n').includes(`${vm.pid},none,coherent`), stdout);
  });

  it('shows an ordinary user its own VMs, and says how many processes it could not look into', async function () {
    needs(this, 'root');
    await using vm = await startKvfioVm(['--sock', `@kvfio-list-${process.pid}`]);
    const {exit, stdout, stderr} = start(['vms', '--json'], {uid: 65_534});
    const document = documentOf<VmsDocument>(stdout, 'vms');
    assert.equal(exit, 0);
    assert.ok(document.hidden > 0);
    assert.ok(!document.vms.some(({pid}) => pid === vm.pid));
    assert.match(stderr, new RegExp(`could not look into ${document.hidden} process(es)?: root sees`));
  });

  it('works where its user may not be', function () {
    needs(this, 'root');
    using folder = scratch(); // of root alone
    // the program is found by its absolute path
    const program = [...KVFIO, 'vms', '--json'];
    const {status, stdout, stderr} = spawnSync(
      'setpriv',
      ['--reuid', '65534', '--clear-groups', ...program],
      {
        cwd: folder.path('.'),
        encoding: 'utf8',
      },
    );
    assert.equal(status, 0, stderr);
    assert.ok(documentOf<VmsDocument>(stdout, 'vms').looked > 0);
  });

  it('follows what comes and goes until it is stopped', async () => {
    await using watcher = await startVmm([...KVFIO, 'vms', '--watch', '--columns', 'pid,fd', '--csv']);
    assert.equal(watcher.line, 'event,pid,fd');
    const {stdout} = watcher.process;
    assert.ok(stdout);
    // several lines may come at once, as other VMs come and go too
    const lines = createInterface(stdout)[Symbol.asyncIterator]();
    const until = async (event: string, pid: number): Promise<void> => {
      for (let line = ''; !line.startsWith(`${event},${pid},`);) {
        const next = await lines.next();
        assert.ok(next.done !== true, `no "${event}" of ${pid} came`);
        line = next.value;
      }
    };
    await using vm = await startKvfioVm(['--sock', `@kvfio-list-${process.pid}`]);
    await until('appeared', vm.pid);
    const gone = until('gone', vm.pid);
    await vm.end();
    await gone;
    assert.equal(await watcher.end('SIGINT'), 0);
  });

  it('follows in one document a line', async () => {
    await using vm = await startKvfioVm(['--sock', `@kvfio-json-${process.pid}`]);
    await using watcher = await startVmm([...KVFIO, 'vms', '--watch', '--json']);
    const told = (): string[] =>
      watcher
        .output()
        .stdout.split('\n')
        .slice(0, -1)
        .map((line) => documentOf<WatchDocument>(line, 'vms-watch'))
        .filter((document) => document.vm.pid === vm.pid)
        .map(({event}) => event);
    const until = async (event: string): Promise<void> => {
      while (!told().includes(event)) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    await until('present');
    await vm.end();
    await until('gone');
    assert.equal(await watcher.end('SIGINT'), 0);
    assert.deepEqual([told().at(0), told().at(-1)], ['present', 'gone']);
  });

  it('prints its header at once, and ends with its reader although nothing changes', async () => {
    await using watcher = await startVmm([
      ...[...KVFIO, 'vms', '--watch', '--interval', '3600', '--columns', 'pid,coherency'],
    ]);
    assert.match(watcher.line, /^EVENT +PID +COHERENCY$/);
    watcher.process.stdout?.destroy();
    const [code] = (await once(watcher.process, 'exit')) as [number | null];
    assert.equal(code, 0);
  });
});
