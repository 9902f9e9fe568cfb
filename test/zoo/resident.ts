/**
 * A kvfio that stays: carries out command lines one after the other, where each start would take seconds.
 *
 *     node resident.mjs
 *
 * Each line that it reads is a JSON array of arguments, the first of which is the command; each line that it writes is an `Answer`,
 * the first of them when it is ready.
 */
import {createInterface} from 'node:readline';
import Create from '../../src/commands/create.js';
import Detach from '../../src/commands/detach.js';
import {run} from '../support/run.js';

export interface Answer {
  exit: number;
  stdout: string;
}

const COMMANDS = {create: Create, detach: Detach};
const say = (answer: Answer): void => {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
};

say({exit: 0, stdout: ''});
for await (const line of createInterface(process.stdin)) {
  const [name = '', ...argv] = JSON.parse(line) as string[];
  const {exit, stdout} = await run(COMMANDS[name as keyof typeof COMMANDS], argv);
  say({exit, stdout});
}
