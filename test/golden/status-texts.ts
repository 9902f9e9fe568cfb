import {spawnSync} from 'node:child_process';
import {join} from 'node:path';
import type {Outcome} from '../support/run.js';
import {invocationText} from './invocations.js';

/** What `kvfio status --expect` prints for each outcome of a look at a VM, to a pipe. */
export const statusTexts = (): Record<string, string> => {
  const program = join(import.meta.dirname, 'status-looks.ts');
  const {status, stdout, stderr} = spawnSync(process.execPath, ['--import', 'tsx', program], {
    encoding: 'utf8',
    env: {PATH: process.env['PATH'] ?? '', HOME: '/'},
  });
  if (status !== 0) throw new Error(`ended with ${status ?? 'a signal'}: ${stderr}`);
  const looks = JSON.parse(stdout) as {words: string[]; outcome: Outcome}[];
  return {'status.txt': looks.map(({words, outcome}) => invocationText(words, outcome)).join('\n')};
};
