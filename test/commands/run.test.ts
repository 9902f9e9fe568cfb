import assert from 'node:assert/strict';
import {needs} from '../support/needs.js';
import {start} from '../support/run.js';

describe('kvfio run, of what it cannot run,', () => {
  before(function () {
    needs(this, 'build');
  });

  const refused = (argv: string[], exit: number, why: RegExp): void => {
    const answer = start(argv);
    assert.equal(answer.exit, exit, answer.stderr);
    assert.match(answer.stderr, why);
    assert.equal(answer.stdout, '');
  };

  it('wants a program', () => {
    refused(['run', '--group', '1'], 2, /No VMM is named\./);
  });

  it('wants one that is there', () => {
    refused(['run', '--group', '1', '--', 'no-such-vmm'], 3, /There is no program no-such-vmm\./);
    for (const path of ['/etc/passwd', '/tmp'])
      refused(['run', '--group', '1', '--vmm', 'qemu', '--', path], 3, /no file that you may execute/);
  });

  it('wants one that it knows, or its kind', () => {
    refused(['run', '--group', '1', '--', 'sh'], 2, /does not know which VMM sh is/);
  });

  it('wants a user that is there', () => {
    const argv = ['run', '--group', '1', '--user', 'no-such-user', '--vmm', 'qemu', '--', 'sh'];
    refused(argv, 3, /There is no user no-such-user\./);
  });

  it('wants an ordinary user, by a number that somebody has', () => {
    const as = (user: string): string[] => [
      'run',
      '--group',
      '1',
      '--user',
      user,
      '--vmm',
      'qemu',
      '--',
      'sh',
    ];
    for (const user of ['0', 'root']) refused(as(user), 2, /The user of --user is root\./);
    for (const user of ['4294967295', '4294967296', '99999999999'])
      refused(as(user), 2, new RegExp(`No user has the number ${user}\\.`));
    refused(as('4294967294'), 3, /There is no user 4294967294\./);
    refused(['bind', '--group', '1', '--user', '4294967296'], 2, /No user has the number/);
  });

  it('wants a group that is there', () => {
    refused(['run', '--group', '4711', '--vmm', 'qemu', '--', 'sh'], 3, /4711/);
    refused(['vmm-args', '--group', '4711', '--vmm', 'qemu'], 3, /4711/);
  });
});
