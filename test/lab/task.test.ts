import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import fc from 'fast-check';
import {shellAssignments, shellQuote} from '../../src/lab/shell-quote.js';
import {taskFiles, type LabTask} from '../../src/lab/task.js';

const environment = {PATH: '/usr/bin:/bin', LANG: 'C.UTF-8', SECRET: 'x', NO_COLOR: '1'};

/** Runs the guest's command file here, where /run/kvfio-lab is just an absent folder of PATH. */
const runHere = (task: LabTask, cwd = '/'): string => {
  const {command = ''} = taskFiles(task, {kvfio: ['kvfio'], cwd, environment, out: false});
  const {stdout, stderr} = spawnSync('/bin/sh', ['-c', command], {env: {}});
  return stdout.toString() + stderr.toString();
};

describe('the command file of the guest', () => {
  it('passes every argument exactly', () => {
    const argument = fc.string({unit: 'grapheme'}).filter((text) => !text.includes('\0'));
    fc.assert(
      fc.property(fc.array(argument, {minLength: 1, maxLength: 4}), (argv) => {
        const print = 'process.stdout.write(JSON.stringify(process.argv.slice(1)))';
        assert.deepEqual(
          JSON.parse(runHere({command: [process.execPath, '-e', print, '--', ...argv]})),
          argv,
        );
      }),
      {numRuns: 15, examples: [[["it's", 'a\nb\n', '$HOME `x` \\', '', '-n']]]},
    );
  });

  it('starts in the given folder, or in / where there is none', () => {
    assert.equal(runHere({command: ['pwd']}, '/usr/bin'), '/usr/bin\n');
    assert.equal(runHere({command: ['pwd']}, "/no/such 'folder"), '/\n');
  });

  it('passes on language and terminal, and nothing else of the environment', () => {
    const variables = runHere({command: ['env']});
    assert.match(variables, /^LANG=C.UTF-8$/m);
    assert.match(variables, /^NO_COLOR=1$/m);
    assert.match(variables, /^PATH=\/run\/kvfio-lab\/bin:\/usr\/bin:\/bin:/m);
    assert.doesNotMatch(variables, /SECRET/);
  });
});

describe('shellQuote', () => {
  it('keeps quotes apart from the shell', () => {
    assert.equal(shellQuote("don't"), `'don'\\''t'`);
    assert.equal(shellAssignments({a: '1 2', b: ''}), "a='1 2'\nb=''\n");
  });
});
