import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import {join} from 'node:path';
import {madeForEach} from '../../support/made.js';
import {needs} from '../../support/needs.js';
import {buildOnce, PROJECT, start} from '../../support/run.js';
import {scratch} from '../../vm/vmm.js';

describe('the start of the installed program', function () {
  this.timeout(60_000);
  let folder: ReturnType<typeof scratch>;
  let compiled: string;
  madeForEach(function () {
    needs(this, 'build');
    buildOnce();
    return (folder = scratch());
  });
  beforeEach(() => {
    for (const name of ['bin', 'package.json', 'oclif.manifest.json', 'dist/bundle'])
      cpSync(join(PROJECT, name), folder.path(name), {recursive: true});
    symlinkSync(join(PROJECT, 'node_modules'), folder.path('node_modules'));
    compiled = folder.path(`dist/bundle/compiled/${process.version}-${process.arch}`);
  });

  const node = (argv: readonly string[]): string => {
    const {status, stdout, stderr} = spawnSync(process.execPath, argv, {encoding: 'utf8', env: {}});
    assert.equal(status, 0, stderr);
    return stdout;
  };
  const version = (flags: readonly string[] = []): string =>
    node([...flags, folder.path('bin/run.js'), '--version']);
  /** Of the modules of two commands, and all that they load, those for which no compiled code was taken. */
  const compiledAnew = (flags: readonly string[] = []): string[] =>
    JSON.parse(
      node([
        ...flags,
        '-e',
        `const modules = require('${folder.path('dist/bundle/cli/start.js')}').bundledModules('${folder.path('')}');
         modules.load('cli/main.js');
         modules.load('commands/groups.js');
         modules.load('commands/attach.js');
         console.log(JSON.stringify(modules.compiledAnew))`,
      ]),
    ) as string[];
  const files = (): string[] =>
    readdirSync(compiled, {recursive: true, withFileTypes: true})
      .filter((entry) => entry.isFile())
      .map(({parentPath, name}) => join(parentPath, name));

  it('takes all that was compiled when it was built', () => {
    assert.deepEqual(compiledAnew(), []);
  });

  it('was compiled with the flags of a start whatever NODE_OPTIONS the build had', () => {
    cpSync(join(PROJECT, '.ci'), folder.path('.ci'), {recursive: true});
    cpSync(join(PROJECT, 'dist'), folder.path('dist'), {recursive: true});
    const {status, stderr} = spawnSync(process.execPath, ['.ci/bundle.js'], {
      cwd: folder.path(''),
      encoding: 'utf8',
      env: {...process.env, NODE_OPTIONS: '--max-old-space-size=900'},
    });
    assert.equal(status, 0, stderr);
    assert.deepEqual(compiledAnew(), []);
  });

  it('compiles for itself where the package was built with another Node', () => {
    const expected = version();
    rmSync(compiled, {recursive: true});
    assert.equal(version(), expected);
    assert.ok(compiledAnew().includes('oclif-core.js'));
  });

  it('compiles for itself where V8 has other flags', () => {
    assert.ok(compiledAnew(['--no-flush-bytecode']).includes('oclif-core.js'));
    assert.equal(version(['--no-flush-bytecode']), version());
  });

  it('runs all the same where what was compiled is damaged', () => {
    const expected = version();
    for (const file of files()) truncateSync(file, 100);
    assert.equal(version(), expected);
    for (const file of files()) writeFileSync(file, Buffer.alloc(4096, 0xff));
    assert.equal(version(), expected);
    for (const file of files()) writeFileSync(file, '');
    assert.equal(version(), expected);
  });

  it('compiles for itself what was damaged behind its head', () => {
    const expected = version();
    const everything = compiledAnew(['--no-flush-bytecode']);
    const spoil = (change: (bytes: Buffer) => unknown): void => {
      for (const file of files()) {
        const bytes = readFileSync(file);
        change(bytes);
        writeFileSync(file, bytes);
      }
    };
    const invert = (bytes: Buffer): void => {
      for (let at = 200; at < bytes.length; at += 97) bytes[at] = ~(bytes[at] ?? 0);
    };
    for (const change of [invert, (bytes: Buffer) => bytes.fill(0, bytes.length / 2)]) {
      const before = files().map((file) => readFileSync(file));
      spoil(change);
      assert.equal(version(), expected);
      assert.deepEqual(compiledAnew(), everything);
      files().forEach((file, index) => {
        writeFileSync(file, before[index] ?? '');
      });
      assert.deepEqual(compiledAnew(), []);
    }
  });

  it('runs a source that was edited without a change of its length', () => {
    const file = folder.path('dist/bundle/cli/main.js');
    const source = readFileSync(file, 'utf8');
    const words = 'to see the commands there are';
    writeFileSync(file, source.replace(words, words.toUpperCase()));
    const {stderr} = spawnSync(process.execPath, [folder.path('bin/run.js'), 'nope'], {
      encoding: 'utf8',
      env: {},
    });
    assert.match(stderr, new RegExp(words.toUpperCase()));
    assert.deepEqual(compiledAnew(), ['cli/main.js']);
  });

  it('names what a report of a fault needs: --version --verbose', () => {
    const {exit, stdout} = start(['--version', '--verbose']);
    assert.equal(exit, 0);
    for (const line of [
      /^kvfio \d+\.\d+\.\d+$/m,
      /^package \//m,
      /^Node v\d+/m,
      /^kernel \S+/m,
      /^KVM back end /m,
    ])
      assert.match(stdout, line);
  });

  it('says the same of a command whichever way it is asked', () => {
    const {stdout} = start(['help', 'groups']);
    assert.match(stdout, /^USAGE$/m);
    assert.equal(start(['groups', '--help']).stdout, stdout);
  });

  it('does not look for colours in a home, which may be that of somebody else', () => {
    const home = folder.path('home/.config/kvfio');
    mkdirSync(home, {recursive: true});
    // who opens it waits
    assert.equal(spawnSync('mkfifo', [join(home, 'theme.json')]).status, 0);
    const {status} = spawnSync(process.execPath, [folder.path('bin/run.js'), '--version'], {
      env: {HOME: folder.path('home')},
      timeout: 20_000,
    });
    assert.equal(status, 0);
  });
});
