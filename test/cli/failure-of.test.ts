import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {start, buildOnce, PROJECT} from '../support/run.js';

describe('a command line that is not understood', () => {
  const ROWS: readonly (readonly [argv: string[], why: string])[] = [
    [['nonsense'], 'There is no command "nonsense".'],
    [['groups', '--reverse'], 'All of the following must be provided when using --reverse: --sort.'],
    [['groups', '--csv', '--json'], '--json cannot also be provided when using --csv.'],
    [['groups', '--explain', '--csv'], '--csv cannot also be provided when using --explain.'],
    [['snapshot'], 'Missing 1 required arg: file.'],
  ];
  for (const [argv, why] of ROWS) {
    it(`is told in one sentence: ${argv.join(' ')}`, () => {
      const {exit, stdout, stderr} = start([...argv]);
      assert.equal(exit, 2);
      const text = argv.includes('--json') ? stdout : stderr;
      assert.ok(text.includes(why), text);
    });
  }

  it('is not one that asks for help by -h', () => {
    const {exit, stdout} = start(['groups', '-h']);
    assert.deepEqual([exit, stdout.includes('USAGE')], [0, true]);
  });
});

describe('an answer that cannot be written', () => {
  for (const argv of ['groups', 'groups --json', 'snapshot -']) {
    it(`is the kernel's refusal, not a bug: ${argv} > /dev/full`, () => {
      buildOnce();
      const {status, stderr} = spawnSync(
        'sh',
        ['-c', `"$0" bin/run.js ${argv} > /dev/full`, process.execPath],
        {
          encoding: 'utf8',
          cwd: PROJECT,
        },
      );
      assert.equal(status, 6);
      assert.match(stderr, /The kernel answered ENOSPC for standard output/);
      assert.doesNotMatch(stderr, /\bat .*:\d+:\d+/);
    });
  }
});
