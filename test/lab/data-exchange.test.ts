import assert from 'node:assert/strict';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
  appendFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {Readable} from 'node:stream';
import {setTimeout as sleep} from 'node:timers/promises';
import {feedInput} from '../../src/lab/input.js';
import {followOutput} from '../../src/lab/output.js';

describe('data between kvfio and the guest', () => {
  let share: string;
  const at = (name: string): string => join(share, name);

  beforeEach(() => {
    share = mkdtempSync(join(tmpdir(), 'kvfio-test-'));
  });

  afterEach(() => {
    rmSync(share, {recursive: true});
  });

  it('passes output on in order, across files and as it grows, and removes complete files', async () => {
    const got: Buffer[] = [];
    let ended = false;
    const done = followOutput({
      share,
      stream: 'stdout',
      sink: (data) => void got.push(data),
      ended: () => ended,
      signal: new AbortController().signal,
    });
    writeFileSync(at('stdout.0'), 'one ');
    while (got.length === 0) await sleep(5);
    appendFileSync(at('stdout.0'), 'two ');
    writeFileSync(at('stdout.1'), 'three ');
    writeFileSync(at('stdout.2'), 'four');
    ended = true;
    await done;
    assert.equal(Buffer.concat(got).toString(), 'one two three four');
    assert.deepEqual(readdirSync(share), ['stdout.2']);
  });

  it('stops when nobody is interested any more', async () => {
    const over = new AbortController();
    const done = followOutput({
      share,
      stream: 'stderr',
      sink: () => undefined,
      ended: () => false,
      signal: over.signal,
    });
    over.abort();
    await done;
  });

  it('reports a sink that fails', async () => {
    writeFileSync(at('stdout.0'), 'x');
    await assert.rejects(
      followOutput({
        share,
        stream: 'stdout',
        sink: () => Promise.reject(new Error('closed')),
        ended: () => true,
        signal: new AbortController().signal,
      }),
      /closed/,
    );
  });

  it('hands input over in order and never more than the guest takes', async () => {
    const lines: string[] = [];
    const taken: string[] = [];
    const feeding = feedInput({
      share,
      input: Readable.from(['a', 'b', 'c', 'd', 'e'].map((text) => Buffer.from(text))),
      tell: (line) => lines.push(line),
      signal: new AbortController().signal,
    });
    // the guest's side, as control in guest-scripts.ts does it
    for (let number = 0; !lines.includes('eof');) {
      assert.ok(readdirSync(share).length <= 3);
      if (existsSync(at(`in.${number}`)) && lines.includes(`in ${number}`)) {
        taken.push(readFileSync(at(`in.${number}`), 'utf8'));
        rmSync(at(`in.${number}`));
        number += 1;
      }
      await sleep(1);
    }
    await feeding;
    for (const name of readdirSync(share).sort()) taken.push(readFileSync(at(name), 'utf8'));
    assert.equal(taken.join(''), 'abcde');
    assert.deepEqual(lines, ['in 0', 'in 1', 'in 2', 'in 3', 'in 4', 'eof']);
  });
});
