import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {Config} from '@oclif/core';
import {EXIT_CODES} from '../../src/failure.js';
import {made} from '../support/made.js';
import {needs} from '../support/needs.js';
import {PROJECT, buildOnce} from '../support/run.js';
import {scratch} from '../vm/vmm.js';

describe('the man page', function () {
  this.timeout(60_000);
  let folder: ReturnType<typeof scratch>;
  let page: string;
  made(function () {
    needs(this, 'build');
    buildOnce();
    return (folder = scratch());
  });
  before(() => {
    page = folder.path('kvfio.1');
    const {status, stderr} = spawnSync(process.execPath, [join(PROJECT, '.ci/man.js'), page], {cwd: PROJECT});
    assert.equal(status, 0, stderr.toString());
  });

  /** What a program says of it, on a wide page without hyphenation. */
  const said = (program: string, argv: readonly string[]): string => {
    const {status, stdout, stderr} = spawnSync(program, [...argv, page], {
      encoding: 'utf8',
      env: {...process.env, MANWIDTH: '500', LC_ALL: 'C.UTF-8'},
    });
    assert.equal(status, 0, `${program} answers ${status ?? ''}: ${stderr}${stdout}`);
    return stderr + stdout;
  };
  it('is one that man takes without a warning, with every command, flag and exit code', async function () {
    needs(this, 'man');
    const {stderr} = spawnSync('man', ['--warnings', '-l', page], {encoding: 'utf8'});
    assert.equal(stderr, '');
    const text = said('man', ['-l']).replaceAll(/\s+/g, ' ');
    const {commands} = await Config.load({root: PROJECT, ignoreManifest: true});
    assert.ok(commands.length > 10);
    for (const {id, flags, hidden} of commands) {
      if (hidden) continue;
      assert.ok(text.includes(`kvfio ${id} `), id);
      for (const name of Object.keys(flags)) assert.match(text, new RegExp(`--(\\[no-\\])?${name}\\b`));
    }
    for (const code of Object.values(EXIT_CODES)) assert.match(text, new RegExp(` ${code} [A-Z]`));
    assert.doesNotMatch(text, /<%/);
  });

  it('is one that mandoc has nothing to warn of', function () {
    needs(this, 'mandoc');
    assert.equal(said('mandoc', ['-Tlint', '-Wwarning']), '');
  });

  it('keeps what troff would take for itself', () => {
    const source = readFileSync(page, 'utf8');
    assert.doesNotMatch(source, /[^\u0000-\u007f]/);
    for (const line of source.split('\n').filter((each) => each.startsWith('.')))
      assert.match(line, /^\.(?:TH|SH|SS|PP|TP|RS|RE|BR|nf|fi)\b/);
  });
});
