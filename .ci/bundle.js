// Joins the compiled modules, and what they import, into few files under dist/bundle, because to find and read three
// hundred of them takes longer than most commands. Commands stay one file each, so that oclif loads only the one it needs.
import {readFileSync, readdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {build} from 'esbuild';

const OUT = 'dist/bundle';

/** What the sources import of oclif. */
const CORE = ['Args', 'Command', 'Errors', 'Flags', 'Help', 'run', 'settings'];

const common = {
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // native, and what oclif looks for in a development tree only
  external: ['ffi-rs', 'typescript', 'ts-node', 'tsx'],
  banner: {
    js: "import {createRequire as requireFrom} from 'node:module'; const require = requireFrom(import.meta.url);",
  },
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
    },
    outfile: join(OUT, 'oclif-core.js'),
  }),
  ...[
    'dist/cli/main.js',
    'dist/cli/help.js',
    'dist/vm/vcpu-worker.js',
    'dist/iommu/groups-thread.js',
    ...files('dist/commands'),
  ].map((entry) =>
    build({
      ...common,
      entryPoints: [entry],
      outbase: 'dist',
      outdir: OUT,
      // what is imported on demand, under one name for all that do
      splitting: true,
      chunkNames: 'shared/[name]-[hash]',
      plugins: [{name: 'oclif-core', setup: shareCore}],
    }),
  ),
];
const inputs = (await Promise.all(bundles)).flatMap(({metafile}) => Object.keys(metafile.inputs));
writeFileSync(join(OUT, 'LICENSES.txt'), licences(inputs));

/** Every output is in a folder beside it. */
function shareCore({onResolve}) {
  onResolve({filter: /^@oclif\/core$/}, () => ({path: '../oclif-core.js', external: true}));
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
