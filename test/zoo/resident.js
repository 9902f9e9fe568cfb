// A kvfio that stays: carries out command lines one after the other, where each start would take seconds.
//   node resident.js
// Each line that it reads is a JSON array of arguments, the first of which is the command; each line that it writes is
// {"exit": …, "stdout": …}.
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {Config} from '@oclif/core';

const config = await Config.load(fileURLToPath(new URL('../..', import.meta.url)));
const write = process.stdout.write.bind(process.stdout);

for await (const line of createInterface(process.stdin)) {
  const [name, ...argv] = JSON.parse(line);
  const {default: command} = await import(`../../dist/commands/${name}.js`);
  let stdout = '';
  process.stdout.write = (chunk, ...rest) => {
    stdout += chunk;
    rest.at(-1)?.();
    return true;
  };
  process.exitCode = 0;
  await command.run(argv, config);
  const exit = Number(process.exitCode);
  process.exitCode = 0;
  write(`${JSON.stringify({exit, stdout})}\n`);
}
