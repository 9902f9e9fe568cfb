import {spawnSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {PROJECT, type Outcome} from '../support/run.js';
import {LINES, surroundings} from './lines.js';

/** What kvfio answers to the lines of wrong-invocations.txt, for people and with --json. */
export const invocationTexts = (): Record<string, string> => {
  const lines = readFileSync(join(import.meta.dirname, 'wrong-invocations.txt'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('kvfio '))
    .map((line) => line.split(' ').slice(1));
  return {'answers.txt': answers(lines), 'answers-json.txt': answers(lines.map(withJson))};
};

const withJson = (words: readonly string[]): string[] => {
  const end = words.includes('--') ? words.indexOf('--') : words.length;
  return [...words.slice(0, end).filter((word) => word !== '--json'), '--json', ...words.slice(end)];
};

const answers = (lines: readonly string[][]): string => {
  const argvs = lines.map((words) => words.map((word) => (word === "''" ? '' : word)));
  const {status, stdout, stderr} = spawnSync(process.execPath, [...LINES, '--caught'], {
    input: JSON.stringify(argvs),
    cwd: PROJECT,
    env: surroundings(),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`ended with ${status ?? 'a signal'}: ${stderr}`);
  const outcomes = JSON.parse(stdout) as Outcome[];
  return outcomes.map((outcome, at) => invocationText(lines[at] ?? [], outcome)).join('\n');
};

/** A command line, what it prints on stdout and stderr, and its exit code. */
export const invocationText = (words: readonly string[], outcome: Outcome): string =>
  `$ kvfio ${words.join(' ')}\n${printed(outcome)}= ${outcome.exit}\n`;

const printed = ({stdout, stderr}: Outcome): string =>
  [
    ['1> ', stdout],
    ['2> ', stderr],
  ]
    .flatMap(([mark = '', text = '']) => text.split(/(?<=\n)/).map((line) => mark + line))
    .filter((line) => line.length > 3)
    .join('');
