import {kindOfWord} from './word-kind.js';

/**
 * What oclif's parser says, in the words that kvfio has for it and on one line: each sentence says what is wrong with
 * which flag. What is not known here stays as it is.
 */
export const usageSentence = (message: string): string => {
  const text = message
    .replace(/\n*See more help with --help\s*$/, '')
    .replace(/^The following errors? occurred:\s*/, '')
    .replace(/^(Missing \d+ required args?):\n(\S+)[^]*$/, '$1: $2')
    // a flag, and what its value lacks
    .replace(/^(Parsing --\S+)\s*\n\s*/, '$1 ')
    .trim();
  const sentences = text.split(/\s*\n+\s*/).map(inOurWords);
  return `${sentences.join('; ')}.`.replace(/([.!?])\.$/, '$1');
};

/** Whether oclif says that a command does not exist: when it runs one, and in other words for help of one. */
export const isUnknownCommand = (message: string): boolean => UNKNOWN_COMMAND.test(message);

const UNKNOWN_COMMAND = /^command (.*) not found\.?$/i;

const inOurWords = (line: string): string =>
  SENTENCES.reduce(
    (words, [theirs, ours]) =>
      typeof ours === 'string' ? words.replace(theirs, ours) : words.replace(theirs, ours),
    line,
  );

const surplus = (word: string): string => `"${word}" is ${KIND_IN_WORDS[kindOfWord(word)]}`;

const KIND_IN_WORDS = {
  number: 'a number that follows no flag',
  address: 'a PCI address that follows no flag',
  path: 'a path that follows no flag',
  word: 'one argument too many',
};

/** Forms of the sentences of oclif's parser (lib/parser/errors.js, validate.js and parse.js, lib/flags.js, lib/help/index.js and lib/errors of @oclif/core 4), and ours. */
const SENTENCES: readonly [RegExp, string | ((...found: string[]) => string)][] = [
  [UNKNOWN_COMMAND, (_, id = '') => `There is no command "${id}"`],
  [/^Nonexistent flags?: (.*)$/, 'There is no flag $1'],
  [/^Unexpected arguments?: (.*)$/, (_, words = '') => words.split(', ').map(surplus).join('; ')],
  [/^Missing \d+ required args?: (.*)$/, (_, name = '') => `The argument ${name.toUpperCase()} is missing`],
  [/^Missing required flag (.*)$/, 'The flag --$1 is missing'],
  [/^Flag (--\S+) expects a value$/, '$1 takes a value, and none is given'],
  [/^Flag (--\S+) expects one of these values: (.*)$/, '$1 takes one of $2, and none is given'],
  [/^Flag (--\S+) can only be specified once$/, '$1 is given more than once'],
  [/^Expected (--\S+?)=(.*) to be one of: (.*)$/, '$1 takes one of $3, not "$2"'],
  [/^Expected (.*) to be one of: (.*)$/, 'The argument is one of $2, not "$1"'],
  [/^Parsing (--\S+) Expected an integer but received: ?(.*)$/, '$1 takes a whole number, not "$2"'],
  [
    /^Parsing (--\S+) Expected an integer greater than or equal to (\S+) but received: (.*)$/,
    '$1 takes a whole number of at least $2, not $3',
  ],
  [
    /^Parsing (--\S+) Expected an integer less than or equal to (\S+) but received: (.*)$/,
    '$1 takes a whole number of at most $2, not $3',
  ],
  [/^(--[^\s=]+)(?:=.*)? cannot also be provided when using (--\S+)$/, '$1 and $2 exclude each other'],
  [/^All of the following must be provided when using (--\S+): (.*)$/, '$1 needs $2'],
  [/^One of the following must be provided when using (--\S+): (.*)$/, '$1 needs one of $2'],
];
