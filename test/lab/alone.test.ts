import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {Failure} from '../../src/failure.js';
import {alone} from '../../src/lab/alone.js';

describe('work on the cache of the lab', () => {
  let cache: string;
  const options = (patience?: number) => ({
    cache,
    signal: undefined,
    onNote: () => undefined,
    ...(patience !== undefined && {patience}),
  });

  beforeEach(() => {
    cache = mkdtempSync(join(tmpdir(), 'kvfio-test-'));
  });

  afterEach(() => {
    rmSync(cache, {recursive: true});
  });

  it('is done by one at a time', async () => {
    let atWork = 0;
    const work = async (): Promise<number> => {
      atWork += 1;
      await new Promise((resolve) => setImmediate(resolve));
      return atWork--;
    };
    assert.deepEqual(await Promise.all([alone(options(), work), alone(options(), work)]), [1, 1]);
  });

  it('goes on after work that failed', async () => {
    await assert.rejects(
      alone(options(), () => Promise.reject(new Error('no network'))),
      /no network/,
    );
    assert.equal(await alone(options(), () => Promise.resolve('done')), 'done');
  });

  it('is not waited for endlessly, and the one at work is named', async () => {
    await alone(options(), async () => {
      await assert.rejects(
        alone(options(0), () => Promise.resolve()),
        (error) =>
          error instanceof Failure && error.exitCode === 124 && error.why.includes(`process ${process.pid}`),
      );
    });
  });
});
