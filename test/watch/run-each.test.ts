import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import {RunEach} from '../../src/watch/run-each.js';
import {deviceEvent, type WatchLine} from '../../src/watch/watch-line.js';
import {scratch} from '../vm/vmm.js';
import {device} from './states.js';

const line = (address: string): WatchLine => ({
  ...{schemaVersion: 1, time: '2026-01-01T00:00:00.000Z'},
  ...deviceEvent('appeared', device({address, driver: 'nvme'})),
});

describe('the command for each line', () => {
  it('has the line on stdin and what is most asked for in variables, one line after the other', async () => {
    using folder = scratch();
    const out = folder.path('out');
    const failures: string[] = [];
    const runs = new RunEach({
      command: `sleep 0.1; echo "$KVFIO_KIND $KVFIO_EVENT $KVFIO_ADDRESS $KVFIO_DRIVER $KVFIO_GROUP" >> '${out}'; cat >> '${out}'`,
      onFailure: (how) => failures.push(how),
    });
    const lines = [line('0000:00:02.0'), line('0000:00:03.0')];
    for (const each of lines) runs.add(each);
    while (!read(out).includes('03.0","bus"')) await sleep(10);
    assert.equal(await runs.end(), 0);
    assert.deepEqual(read(out).trimEnd().split('\n'), [
      'device appeared 0000:00:02.0 nvme 2',
      JSON.stringify(lines[0]),
      'device appeared 0000:00:03.0 nvme 2',
      JSON.stringify(lines[1]),
    ]);
    assert.deepEqual(failures, []);
  });

  it('that fails, or does not read, is reported, and the next one runs', async () => {
    const failures: string[] = [];
    const runs = new RunEach({command: 'exec <&-; exit 3', onFailure: (how) => failures.push(how)});
    runs.add(line('0000:00:02.0'));
    runs.add(line('0000:00:03.0'));
    while (failures.length < 2) await sleep(10);
    assert.deepEqual(failures, ['ended with 3', 'ended with 3']);
  });

  it('is let end, and is not run for lines that wait', async () => {
    using folder = scratch();
    const out = folder.path('out');
    const failures: string[] = [];
    const runs = new RunEach({
      command: `echo begun >> '${out}'; sleep 0.3; echo done >> '${out}'`,
      onFailure: (how) => failures.push(how),
    });
    for (const address of ['0000:00:02.0', '0000:00:03.0', '0000:00:04.0']) runs.add(line(address));
    while (!read(out).includes('begun')) await sleep(10);
    assert.equal(await runs.end(), 2);
    assert.equal(read(out), 'begun\ndone\n');
    assert.deepEqual(failures, []);
  });

  it('is killed with what it has started when it does not end, once kvfio is to', async () => {
    const failures: string[] = [];
    const runs = new RunEach({command: 'sleep 1000 & wait', onFailure: (how) => failures.push(how)});
    runs.add(line('0000:00:02.0'));
    await sleep(100);
    assert.equal(await runs.end(100), 0);
    assert.deepEqual(failures, ['ended with SIGKILL']);
  });

  it('does not run for lines beyond a number, which are counted', async () => {
    const runs = new RunEach({command: 'sleep 0.2', onFailure: () => undefined});
    for (let count = 0; count < 10_100; count += 1) runs.add(line('0000:00:02.0'));
    assert.equal(await runs.end(), 10_099);
  });
});

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};
