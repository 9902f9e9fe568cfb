// Joins the compiled modules, and what they import, into few files under dist/bundle, because to find and read three
// hundred of them takes longer than most commands. A command, or a family of commands with nearly the same code, is one
// bundle, so that only what is needed is loaded.
import {spawnSync} from 'node:child_process';
import {mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {basename, dirname, join, relative} from 'node:path';
import {build, transform} from 'esbuild';

const OUT = 'dist/bundle';

/** What the sources import of oclif. */
const CORE = ['Args', 'Command', 'CommandHelp', 'Errors', 'Flags', 'Help', 'Plugin', 'run'];

/** Commands that have nearly all their code in common: each family is one bundle, and each command a file that takes it from there. */
const FAMILIES = {
  'kvm-vfio': ['add', 'attach', 'create', 'delete', 'detach'],
  'bind-unbind': ['bind', 'unbind'],
};

const common = {
  bundle: true,
  // esbuild shares what several files import in this format only; write() makes another of it
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // native, and what oclif looks for in a development tree only
  external: ['ffi-rs', 'typescript', 'ts-node', 'tsx'],
  legalComments: 'none',
  outdir: OUT,
  write: false,
  metafile: true,
  logLevel: 'warning',
};

// All need the same oclif, which so is a file of its own.
const bundles = [
  build({
    ...common,
    stdin: {
      contents: `export {${CORE.join(', ')}} from '@oclif/core';`,
      resolveDir: process.cwd(),
      sourcefile: 'oclif-core.js',
    },
    entryNames: 'oclif-core',
    plugins: [
      {name: 'unused', setup: leaveOutUnused},
      {name: 'seldom-used', setup: deferSeldomUsed},
    ],
  }),
  ...Object.entries(FAMILIES).map(([name, commands]) => family(name, commands)),
  ...[
    ['cli/start', 'dist/cli/startup/start.js'],
    ['cli/main', 'dist/cli/startup/main.js'],
    ['cli/help', 'dist/cli/help/help.js'],
    ['demo-vm/vcpu-worker', 'dist/demo-vm/vcpu-worker.js'],
    ['iommu/groups-thread', 'dist/iommu/groups-thread.js'],
    ...files('dist/commands')
      .filter((file) => !Object.values(FAMILIES).flat().includes(basename(file, '.js')))
      .map((file) => [`commands/${basename(file, '.js')}`, file]),
  ].map(([out, entry]) =>
    build({
      ...common,
      // the names of what is installed do not depend on the folders of the sources
      entryPoints: [{in: entry, out}],
      // what is imported on demand, under one name for all that do
      splitting: true,
      chunkNames: 'shared/[name]-[hash]',
      plugins: [{name: 'oclif-core', setup: shareCore}],
    }),
  ),
];
rmSync(OUT, {recursive: true, force: true});
const results = await Promise.all(bundles);
for (const {path, text} of results.flatMap(({outputFiles}) => outputFiles)) await write(path, text);
for (const [name, commands] of Object.entries(FAMILIES))
  for (const id of commands)
    writeFileSync(
      join(OUT, 'commands', `${id}.js`),
      `exports.default = require('../shared/${name}.js').${id};\n`,
    );
writePackage();
writeFileSync(
  join(OUT, 'LICENSES.txt'),
  licences(results.flatMap(({metafile}) => Object.keys(metafile.inputs))),
);
// V8 takes compiled code only under the flags that it was compiled with
const env = {...process.env};
delete env.NODE_OPTIONS;
const {status} = spawnSync(process.execPath, ['.ci/compile.js'], {
  stdio: ['ignore', 'ignore', 'inherit'],
  env,
});
process.exitCode = status ?? 1;

/** Node starts a module of this format several milliseconds sooner, and V8's compiled code can be given to it. */
async function write(path, text) {
  const {code: unicode} = await transform(text, {
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    supported: {'dynamic-import': false},
    define: {'import.meta.url': 'importMetaUrl', 'import.meta.resolve': 'importMetaResolve'},
    banner: text.includes('import.meta.')
      ? "const {pathToFileURL} = require('node:url'), importMetaUrl = pathToFileURL(__filename).href, importMetaResolve = (id) => pathToFileURL(require.resolve(id)).href;"
      : '',
  });
  const plain = withPaths(withoutWrappers(unicode));
  // a regular expression has one; bundled-modules.ts reads ASCII, which takes a fraction of the time
  const code = plain.replaceAll(
    /[^\0-\x7f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  mkdirSync(dirname(path), {recursive: true});
  writeFileSync(path, code);
}

/** Modules of threads by their paths: `imports` of package.json holds for its own folder, and none of these is the package's. */
function withPaths(text) {
  const {imports} = JSON.parse(readFileSync('package.json', 'utf8'));
  return text.replaceAll(/"(#[\w-]+)"/g, (whole, name) =>
    name in imports ? `require("node:path").join(__dirname, "..", "${relative(OUT, imports[name])}")` : whole,
  );
}

/**
 * What was a default import of a module of Node, of which esbuild copies each property when the bundle is loaded, so that also a
 * module is loaded then that bundled-modules.ts would load when it is used.
 */
function withoutWrappers(text) {
  return text.replaceAll(
    /^(var (\w+) = )__toESM\((require\("(?:node:)?\w+(?:\/\w+)?"\))\);$/gm,
    (whole, head, name, module) => {
      const uses = text.match(new RegExp(`\\b${name}\\b`, 'g')).length - 1;
      const defaults = (text.match(new RegExp(`\\b${name}\\.default\\b`, 'g')) ?? []).length;
      return uses === defaults ? `${head}{default: ${module}};` : whole;
    },
  );
}

/** The modules are of another kind than those of the sources. */
function writePackage() {
  writeFileSync(join(OUT, 'package.json'), `${JSON.stringify({type: 'commonjs'})}\n`);
}

/** Every output is in a folder beside it. */
function shareCore({onResolve}) {
  onResolve({filter: /^@oclif\/core$/}, () => ({path: '../oclif-core.js', external: true}));
}

/**
 * What oclif names at its top and kvfio never gets to: how it finds plugins, commands and configuration that a Program
 * (src/cli/startup/program.ts) gives it, and the version of Node that it compares with a package.json which no bundle has.
 * Whatever got there all the same would end with a TypeError that names the function.
 */
function leaveOutUnused({onResolve, onLoad}) {
  onResolve({filter: /^(semver|minimatch|tinyglobby|lilconfig)$/}, ({path}) => ({path, namespace: 'unused'}));
  onLoad({filter: /.*/, namespace: 'unused'}, () => ({contents: 'module.exports = {}'}));
  // of this only whether Linux is that of Windows; all else is for starting programs of Windows
  onResolve({filter: /^wsl-utils$/}, replaced('wsl'));
  onLoad({filter: /.*/, namespace: 'wsl'}, ({pluginData}) => ({
    contents: "export {default as isWsl} from 'is-wsl';",
    resolveDir: pluginData,
  }));
}

/** What oclif names at its top, and uses for help, for failures or for whoever sets DEBUG. */
function deferSeldomUsed({onResolve, onLoad}) {
  onResolve({filter: /^(ejs|wrap-ansi|cli-spinners|supports-color)$/}, replaced('later'));
  onLoad({filter: /.*/, namespace: 'later'}, ({path, pluginData}) => ({
    contents: `module.exports = new Proxy(() => {}, {
      get: (_, name) => (name === '__esModule' ? undefined : require('${path}')[name]),
      apply: (_, self, args) => require('${path}').apply(self, args),
    });`,
    resolveDir: pluginData,
  }));
  // even an unused logger looks at the terminal for its colours
  onResolve({filter: /^debug$/}, replaced('debug'));
  onLoad({filter: /.*/, namespace: 'debug'}, ({pluginData}) => ({
    contents: `module.exports = process.env.DEBUG ? require('debug') : () => () => undefined;`,
    resolveDir: pluginData,
  }));
}

/** From its own replacement a package is found as usual. */
function replaced(namespace) {
  return ({path, namespace: importer, resolveDir}) =>
    importer === namespace ? undefined : {path, namespace, pluginData: resolveDir};
}

/** The commands in families, each in one bundle, and a file for each command that takes it from there. */
function family(name, commands) {
  return build({
    ...common,
    stdin: {
      contents: commands.map((id) => `export {default as ${id}} from './${id}.js';`).join('\n'),
      resolveDir: join(process.cwd(), 'dist/commands'),
      sourcefile: `${name}.js`,
    },
    entryNames: `shared/${name}`,
    splitting: true,
    chunkNames: 'shared/[name]-[hash]',
    plugins: [{name: 'oclif-core', setup: shareCore}],
  });
}

function files(folder) {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.js'))
    .map((name) => join(folder, name));
}

/** The terms of every package of which something is in the bundle. */
function licences(inputs) {
  const packages = new Set(
    inputs.flatMap((input) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input) ?? []),
  );
  return [...packages]
    .sort()
    .map((folder) => {
      const {name, version, license} = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
      const text = file === undefined ? `License: ${license}\n` : readFileSync(join(folder, file), 'utf8');
      return `${name} ${version}\n\n${text}`;
    })
    .join(`\n${'-'.repeat(80)}\n\n`);
}
