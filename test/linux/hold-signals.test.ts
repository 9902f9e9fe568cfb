import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {join} from 'node:path';
import {pathToFileURL} from 'node:url';

const MODULE = pathToFileURL(join(import.meta.dirname, '../../src/linux/hold-signals.ts')).href;

/** What a process says that is told to end while it works and, unless it has ended, after that. */
const told = (held: string): {status: number | null; signal: NodeJS.Signals | null; stdout: string} =>
  spawnSync(
    process.execPath,
    [
      ...process.execArgv,
      '--input-type=module',
      '--eval',
      `const {holdingSignals, holdingSignalsSync} = await import(${JSON.stringify(MODULE)});
       const {setTimeout: sleep} = await import('node:timers/promises');
       const end = () => process.kill(process.pid, 'SIGTERM');
       ${held}
       await sleep(50);
       console.log('lives');
       end();
       await sleep(10000);`,
    ],
    {encoding: 'utf8'},
  );

describe('holding signals', () => {
  it('forgets those that ask for the end of the process while it works, and only then', () => {
    const asynchronous = told('await holdingSignals(async () => { end(); await sleep(50); });');
    const synchronous = told('holdingSignalsSync(end);');
    for (const {signal, stdout} of [asynchronous, synchronous])
      assert.deepEqual([signal, stdout], ['SIGTERM', 'lives\n']);
    const {signal, stdout} = told('end();');
    assert.deepEqual([signal, stdout], ['SIGTERM', '']);
  });
});
