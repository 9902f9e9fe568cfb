// Has V8 compile what starts need, and keeps that beside the bundle: node .ci/compile.js, in a folder with dist/bundle.
// What is not compiled here is compiled when it runs, as it would be without this.
import {readdirSync} from 'node:fs';
import {createRequire} from 'node:module';
import {join} from 'node:path';
import {setFlagsFromString} from 'node:v8';

/** Of what these run, each function that they call. */
const LINES = [['--version'], ['groups', '--json', '--quiet'], ['vms', '--json', '--quiet']];

/** For these, of which scripts wait for many, every function: running them takes a VM. */
const WHOLE = ['add', 'attach', 'create', 'delete', 'detach', 'status'];

const root = process.cwd();
const {bundledModules} = createRequire(import.meta.url)(join(root, 'dist/bundle/cli/start.js'));
const modules = bundledModules(root);
const {main} = modules.load('cli/main.js');
const load = (id) => modules.load(`commands/${id}.js`);
for (const line of LINES) {
  process.argv.splice(2, Infinity, ...line);
  await main({root, commandOf: load});
}
setFlagsFromString('--no-lazy');
WHOLE.forEach(load);
// what is kept is for a V8 with its usual flags
setFlagsFromString('--lazy');
setFlagsFromString('--opt');
for (const name of readdirSync(join(root, 'dist/bundle/commands'))) load(name.slice(0, -3));
modules.save();
// what a line said of this machine is no matter here
process.exitCode = 0;
