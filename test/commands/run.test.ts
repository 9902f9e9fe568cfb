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
    refused(['run', '--group', '1', '--', '/etc/passwd'], 3, /no file that you may execute/);
  });

  it('wants one that it knows, or its kind', () => {
    refused(['run', '--group', '1', '--', 'sh'], 2, /does not know which VMM sh is/);
  });

  it('wants a user that is there', () => {
    const argv = ['run', '--group', '1', '--user', 'no-such-user', '--vmm', 'qemu', '--', 'sh'];
    refused(argv, 3, /There is no user no-such-user\./);
  });

  it('wants a group that is there', () => {
    refused(['run', '--group', '4711', '--vmm', 'qemu', '--', 'sh'], 3, /4711/);
    refused(['vmm-args', '--group', '4711', '--vmm', 'qemu'], 3, /4711/);
  });
});
