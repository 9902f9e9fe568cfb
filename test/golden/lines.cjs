// Runs command lines of kvfio one after the other in one process, because to start one for each takes half a minute.
// node lines.cjs PROJECT < JSON list of argument lists: prints what they print, or with --caught JSON of it.
const {readFileSync} = require('node:fs');
const {join} = require('node:path');

const [root, caught] = process.argv.slice(2);
const lists = JSON.parse(readFileSync(0, 'utf8'));
const {bundledModules} = require(join(root, 'dist/bundle/cli/start.js'));
const modules = bundledModules(root);
const {main} = modules.load('cli/main.js');
const write = {stdout: process.stdout.write, stderr: process.stderr.write};
process.stdout.setMaxListeners(0);
process.stderr.setMaxListeners(0);

const run = async (argv) => {
  const outcome = {exit: 0, stdout: '', stderr: ''};
  if (caught === '--caught') {
    for (const name of ['stdout', 'stderr'])
      process[name].write = (chunk, ...rest) => {
        outcome[name] += chunk;
        rest.findLast((each) => typeof each === 'function')?.();
        return true;
      };
  }
  process.exitCode = 0;
  process.argv = [process.argv0, join(root, 'bin/run.js'), ...argv];
  await main({root, commandOf: (id) => modules.load(`commands/${id}.js`)});
  outcome.exit = process.exitCode;
  for (const [name, own] of Object.entries(write)) process[name].write = own;
  return outcome;
};

void (async () => {
  const outcomes = [];
  for (const argv of lists) {
    if (caught !== '--caught') process.stdout.write(`== ${['kvfio', ...argv].join(' ')}\n`);
    outcomes.push(await run(argv));
  }
  if (caught === '--caught') process.stdout.write(JSON.stringify(outcomes));
  process.exit(0);
})();
