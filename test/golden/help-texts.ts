import {spawnSync, type SpawnSyncOptionsWithStringEncoding} from 'node:child_process';
import {stripVTControlCharacters} from 'node:util';
import {Config} from '@oclif/core';
import {PROJECT} from '../support/run.js';
import {LINES, surroundings} from './lines.js';

/** The help of kvfio as users see it, each file for one place to read it in. */
export const helpTexts = async (): Promise<Record<string, string>> => {
  const {commands} = await Config.load(PROJECT);
  const ids = commands
    .filter(({aliases, id}) => !aliases.includes(id))
    .map(({id}) => id)
    .sort();
  const brief = [[], ['--help'], ...ids.map((id) => [id, '--help'])];
  const all = ids.map((id) => [id, '--help', '--all']);
  return {
    'help-piped.txt': shown(brief),
    'help-60.txt': shown(brief, 60),
    'help-80.txt': shown(brief, 80),
    'help-120.txt': shown(brief, 120),
    'help-all-piped.txt': shown(all),
    'help-all-60.txt': shown(all, 60),
  };
};

/** What command lines print: to a pipe, or to a terminal of so many columns, without its underlines and bold letters. */
const shown = (lines: readonly string[][], columns?: number): string => {
  const program = [process.execPath, ...LINES].map((word) => `'${word}'`).join(' ');
  const run = `printf %s "$LINES_TO_RUN" | ${program}`;
  const onTerminal = ['-q', '-e', '-c', `stty cols ${columns ?? 0} rows 40 < /dev/tty; ${run}`, '/dev/null'];
  const options: SpawnSyncOptionsWithStringEncoding = {
    encoding: 'utf8',
    maxBuffer: 16 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe'],
    // what is piped has 80 columns, whatever a shell says of its terminal
    env: {
      ...surroundings(),
      TERM: 'xterm',
      SHELL: '/bin/sh',
      COLUMNS: '33',
      LINES_TO_RUN: JSON.stringify(lines),
    },
  };
  const {status, stdout, stderr} =
    columns === undefined ? spawnSync('sh', ['-c', run], options) : spawnSync('script', onTerminal, options);
  if (status !== 0) throw new Error(`help ended with ${status ?? 'a signal'}: ${stderr}${stdout}`);
  return stripVTControlCharacters(stdout).replaceAll('\r', '');
};
