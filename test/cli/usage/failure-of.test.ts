import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {constants} from 'node:os';
import {failureOf} from '../../../src/cli/usage/failure-of.js';
import {SyscallError} from '../../../src/linux/errno.js';
import {needs} from '../../support/needs.js';
import {start, buildOnce, PROJECT} from '../../support/run.js';

describe('a command line that is not understood', () => {
  before(function () {
    needs(this, 'build');
  });

  const ROWS: readonly (readonly [argv: string[], why: string])[] = [
    [['nonsense'], 'There is no command "nonsense".'],
    [[''], 'There is no command "".'],
    [['groups', '--grup', '1'], 'There is no flag --grup.'],
    [['snapshot', 'a', 'b'], '"b" is one argument too many.'],
    [['groups', '--group'], '--group takes a value, and none is given.'],
    [['groups', '--group', 'x'], '--group takes a whole number, not "x".'],
    [['groups', '--group', ''], '--group takes a whole number, not "".'],
    [['groups', '--group', '-1'], '--group takes a whole number of at least 0, not -1.'],
    [
      ['groups', '--group', '99999999999999999999'],
      '--group takes a whole number of at most 2147483647, not 99999999999999999999.',
    ],
    [['groups', '--device', ''], '--device takes an address or ids, and none is given.'],
    [['doctor', '--for', 'fun'], '--for takes one of attach, probe, passthrough, not "fun".'],
    [['status', '--pid', '1', '--pid', '2'], '--pid is given more than once.'],
    [['groups', '--reverse'], '--reverse needs --sort.'],
    [['groups', '--csv', '--json'], '--json and --csv exclude each other.'],
    [['groups', '--explain', '--csv'], '--csv and --explain exclude each other.'],
    [
      ['lab', '--timeout', '99999999', '--', 'true'],
      '--timeout takes a whole number of at most 86400, not 99999999.',
    ],
    [['unbind', '--recover', '--group', '1'], '--group and --recover exclude each other.'],
    [['snapshot'], 'The argument FILE is missing.'],
    [
      ['bind', '--device', '../zzz'],
      '"../zzz" is no address, PCI path, interface, block device, serial number',
    ],
    [
      ['attach', '--cdev', '../x', '--pid', '1'],
      '"../x" is no address, PCI path, interface, block device, serial number',
    ],
  ];
  for (const [argv, why] of ROWS) {
    it(`is told in one sentence: ${argv.join(' ')}`, () => {
      const {exit, stdout, stderr} = start([...argv]);
      assert.equal(exit, 2);
      const text = argv.includes('--json') ? stdout : stderr;
      assert.ok(text.includes(why), text);
    });
  }

  for (const [argv, name] of [
    [['nope'], 'nope'],
    [['no such'], 'no such'],
    [['nope', '--help'], 'nope'],
    [['help', 'nope'], 'nope'],
  ] as const) {
    it(`names a command that there is not, and where all are: ${argv.join(' ')}`, () => {
      const {exit, stdout, stderr} = start(argv);
      assert.deepEqual([exit, stdout], [2, '']);
      assert.deepEqual(stderr.split('\n').slice(1), [
        `  There is no command "${name}".`,
        '  Run "kvfio --help" to see the commands there are.',
        '',
      ]);
    });
  }

  it('is not one that asks for help by -h', () => {
    const {exit, stdout} = start(['groups', '-h']);
    assert.deepEqual([exit, stdout.includes('USAGE')], [0, true]);
  });
});

describe('a host that has run out of something', () => {
  for (const error of [
    new SyscallError('kcmp', constants.errno.ENOMEM),
    new SyscallError('open', constants.errno.EMFILE, '/proc/1'),
    Object.assign(new Error('EMFILE: too many open files'), {
      code: 'EMFILE',
      syscall: 'scandir',
      path: '/proc',
    }),
    Object.assign(new Error('ENFILE: file table overflow'), {code: 'ENFILE', syscall: 'open'}),
  ]) {
    it(`is no bug: ${error.message}`, () => {
      const {code, exitCode, errno, why} = failureOf(error);
      assert.deepEqual([code, exitCode, errno], ['EXHAUSTED', 6, error.code]);
      assert.match(why, new RegExp(`^The kernel answered ${error.code} to ${error.syscall}`));
    });
  }

  it('is told apart from all else that is not foreseen', () => {
    assert.equal(failureOf(new SyscallError('kcmp', constants.errno.EINVAL)).code, 'BUG');
    assert.equal(failureOf(new Error('ENOMEM')).code, 'BUG');
  });
});

describe('an answer that cannot be written', () => {
  before(function () {
    needs(this, 'build');
  });

  for (const argv of ['groups', 'groups --json', 'snapshot -', 'doctor']) {
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

  it('is no answer when the file takes only the beginning of it', () => {
    buildOnce();
    const {status, stdout, stderr} = spawnSync(
      'bash',
      [
        '-c',
        'trap "" XFSZ; f=$(mktemp); ulimit -f 1; "$0" bin/run.js completion bash > $f; s=$?; wc -c < $f; rm $f; exit $s',
        process.execPath,
      ],
      {encoding: 'utf8', cwd: PROJECT},
    );
    assert.deepEqual([status, stdout.trim()], [6, '1024']);
    assert.match(stderr, /The kernel answered EFBIG for standard output/);
  });
});
