import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {readdirSync, readFileSync} from 'node:fs';
import {basename, join} from 'node:path';
import {Config, type Command} from '@oclif/core';
import {EXIT_CODES} from '../../../src/failure.js';
import {made} from '../../support/made.js';
import {needs} from '../../support/needs.js';
import {PROJECT, buildOnce} from '../../support/run.js';
import {scratch} from '../../vm/vmm.js';

describe('the man pages', function () {
  this.timeout(60_000);
  let folder: ReturnType<typeof scratch>;
  let commands: Command.Loadable[];
  made(function () {
    needs(this, 'build');
    buildOnce();
    return (folder = scratch());
  });
  before(async () => {
    const {status, stderr} = spawnSync(process.execPath, [join(PROJECT, '.ci/man.js'), folder.path('.')], {
      cwd: PROJECT,
    });
    assert.equal(status, 0, stderr.toString());
    ({commands} = await Config.load({root: PROJECT, ignoreManifest: true}));
    commands = commands.filter(({hidden, aliases, id}) => !hidden && !aliases.includes(id));
    assert.ok(commands.length > 10);
  });

  const pages = (): string[] => readdirSync(folder.path('.')).sort();

  /** What a program says of it, on a wide page without hyphenation. */
  const said = (program: string, argv: readonly string[], page: string): string => {
    const {status, stdout, stderr} = spawnSync(program, [...argv, folder.path(page)], {
      encoding: 'utf8',
      env: {...process.env, MANWIDTH: '500', LC_ALL: 'C.UTF-8'},
    });
    assert.equal(status, 0, `${program} answers ${status ?? ''}: ${stderr}${stdout}`);
    return stderr + stdout;
  };
  it('are one for each command and one that leads to them, all of which the package names', () => {
    const wanted = ['kvfio.1', ...commands.map(({id}) => `kvfio-${id}.1`)].sort();
    assert.deepEqual(pages(), wanted);
    const {man} = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as {man: string[]};
    assert.deepEqual(man.map((path) => basename(path)).sort(), wanted);
  });

  it('are taken by man without a warning, and have every command, flag and exit code', function () {
    needs(this, 'man');
    for (const page of pages()) {
      const {stderr} = spawnSync('man', ['--warnings', '-l', folder.path(page)], {encoding: 'utf8'});
      assert.equal(stderr, '', page);
    }
    const textOf = (page: string): string => said('man', ['-l'], page).replaceAll(/\s+/g, ' ');
    const main = textOf('kvfio.1');
    for (const {id, flags} of commands) {
      assert.ok(main.includes(`kvfio-${id}(1)`), id);
      const text = textOf(`kvfio-${id}.1`);
      assert.match(text, new RegExp(`NAME kvfio-${id} - .* SYNOPSIS kvfio ${id}\\b`));
      for (const name of Object.keys(flags)) assert.match(text, new RegExp(`--(\\[no-\\])?${name}\\b`), id);
      assert.doesNotMatch(text, /<%/);
      for (const code of Object.values(EXIT_CODES)) assert.match(text, new RegExp(` ${code} [A-Z]`));
    }
  });

  it('are pages that mandoc has nothing to warn of', function () {
    needs(this, 'mandoc');
    for (const page of pages()) assert.equal(said('mandoc', ['-Tlint', '-Wwarning'], page), '', page);
  });

  it('keep what troff would take for itself', () => {
    for (const page of pages()) {
      const source = readFileSync(folder.path(page), 'utf8');
      assert.doesNotMatch(source, /[^\u0000-\u007f]/);
      for (const line of source.split('\n').filter((each) => each.startsWith('.')))
        assert.match(line, /^\.(?:TH|SH|PP|TP|RS|RE|BR|br|nf|fi)\b/, page);
    }
  });
});
