// Joins the compiled modules, and what they import, into few files under dist/bundle, because to find and read three
// hundred of them takes longer than most commands. Commands stay one file each, so that oclif loads only the one it needs.
import {readFileSync, readdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {build} from 'esbuild';

const OUT = 'dist/bundle';

const {metafile} = await build({
  entryPoints: ['dist/cli/main.js', 'dist/cli/help.js', 'dist/vm/vcpu-worker.js', ...files('dist/commands')],
  outbase: 'dist',
  outdir: OUT,
  chunkNames: 'shared/[name]-[hash]',
  bundle: true,
  splitting: true,
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
});
writeFileSync(join(OUT, 'LICENSES.txt'), licences(Object.keys(metafile.inputs)));

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
