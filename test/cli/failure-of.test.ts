import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {start, buildOnce, PROJECT} from '../support/run.js';

describe('a command line that is not understood', () => {
  const ROWS: readonly (readonly [argv: string[], why: string])[] = [
    [['nonsense'], 'There is no command "nonsense".'],
    [['groups', '--grup', '1'], 'There is no flag --grup.'],
    [['snapshot', 'a', 'b'], '"b" is more than the command takes.'],
    [['groups', '--group'], '--group takes a value, and none is given.'],
    [['groups', '--group', 'x'], '--group takes a whole number, not "x".'],
    [['groups', '--group', '-1'], '--group takes a whole number from 0 on, not -1.'],
    [['doctor', '--for', 'fun'], '--for takes one of attach, probe, passthrough, not "fun".'],
    [['status', '--pid', '1', '--pid', '2'], '--pid is given more than once.'],
    [['groups', '--reverse'], '--reverse needs --sort.'],
    [['groups', '--csv', '--json'], '--json and --csv exclude each other.'],
    [['groups', '--explain', '--csv'], '--csv and --explain exclude each other.'],
    [['unbind', '--recover', '--group', '1'], '--group and --recover exclude each other.'],
    [['snapshot'], 'The argument FILE is missing.'],
    [['bind', '--device', 'zzz'], '"zzz" is no PCI address.'],
    [['attach', '--cdev', '../x', '--pid', '1'], '"../x" is no address of a device.'],
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
