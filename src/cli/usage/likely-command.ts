import {FLAG_KINDS} from './flag-kinds.js';
import {COMMAND_SYNONYMS, FLAG_SYNONYMS, OUTPUT_FLAGS, VALUE_SYNONYMS} from './likely-words.js';
import {nearest} from '../../nearest.js';
import {kindOfWord, type WordKind} from './word-kind.js';

/** What is needed of a flag: both forms of oclif have it, its manifest and its classes. */
export interface FlagShape {
  name: string;
  type: string;
  char?: string | undefined;
  options?: readonly string[] | undefined;
  multiple?: boolean | undefined;
  dependsOn?: readonly string[] | undefined;
}

export interface CommandShape {
  id: string;
  aliases: readonly string[];
  args: Readonly<Record<string, {options?: readonly string[] | undefined}>>;
  flags: Readonly<Record<string, FlagShape>>;
}

/**
 * The command line that a wrong one most likely means, for a message: nothing executes it. Each word is mended by itself.
 * Null when one of them has no likely meaning, or nothing is to be mended.
 *
 * @param argv - all words after the program's name
 */
export const likelyCommand = (
  argv: readonly string[],
  commands: readonly CommandShape[],
): string[] | null => {
  const end = argv.indexOf('--');
  const own = end === -1 ? argv : argv.slice(0, end);
  const rest = end === -1 ? [] : argv.slice(end);
  const isCommand = (word: string): boolean =>
    commands.some(({id, aliases}) => [id, ...aliases].includes(word));
  // behind flags a bare word may be the value of one
  const known = own[0]?.startsWith('-') === true ? own.findIndex(isCommand) : -1;
  const at = known === -1 ? own.findIndex((word) => !word.startsWith('-')) : known;
  if (at === -1) return likelyRootFlag(own);
  const names = likelyName(own[at] ?? '', commands);
  const command = commands.find(({id, aliases}) => id === names?.[0] || aliases.includes(names?.[0] ?? ''));
  if (names === null) return null;
  // the root's own flag
  if (command === undefined) return [...names];
  const words = mendWords([...own.slice(0, at), ...own.slice(at + 1)], command, commands);
  if (words === null) return null;
  const likely = [...names, ...words, ...rest];
  return likely.length === argv.length && likely.every((word, index) => word === argv[index]) ? null : likely;
};

const ROOT_FLAGS = ['--help', '--version'];

const likelyRootFlag = (words: readonly string[]): string[] | null => {
  const [word, ...others] = words;
  if (word === undefined || others.length > 0) return null;
  const likely = word === '-V' || word === '-v' ? '--version' : nearest(word, ROOT_FLAGS);
  return likely === undefined || likely === word ? null : [likely];
};

const likelyName = (word: string, commands: readonly CommandShape[]): readonly string[] | null => {
  const names = commands.flatMap(({id, aliases}) => [id, ...aliases]);
  if (names.includes(word)) return [word];
  const synonym = COMMAND_SYNONYMS[word.toLowerCase()];
  if (synonym !== undefined) return synonym;
  const near = nearest(word, names);
  return near === undefined ? null : [near];
};

const mendWords = (
  words: readonly string[],
  command: CommandShape,
  commands: readonly CommandShape[],
): string[] | null => {
  const flags = [...Object.values(command.flags), HELP];
  const mended: string[] = [];
  const alone: string[] = [];
  const left = [...words];
  for (let word; (word = left.shift()) !== undefined;) {
    if (!word.startsWith('-') || word === '-') {
      // all words from the first on are the command that the guest runs
      if (command.id === 'lab') return [...mended, '--', word, ...left];
      alone.push(word);
      continue;
    }
    const flag = likelyFlag(word, left, flags);
    if (flag === null) return null;
    if (flag.shape.type === 'boolean') {
      mended.push(flag.text);
      continue;
    }
    const typed = flag.value === undefined ? takeValues(left, flag.shape) : [flag.value];
    const values = typed.flatMap((each) => likelyValues(each, flag.shape));
    if (values.length === 0 || !values.every((value) => canBe(value, flag.shape))) return null;
    const asTyped = flag.value === undefined ? [flag.text, ...values] : [`${flag.text}=${values[0] ?? ''}`];
    mended.push(
      ...(values.length === typed.length ? asTyped : values.flatMap((value) => [flag.text, value])),
    );
  }
  const hasVm = mended.some((word) => /^--(?:pid|vm-sock)(?:=|$)/.test(word));
  const placed = placeWords(alone, {command, commands, flags, hasVm});
  return placed === null ? null : [...missing([...mended, ...placed], flags), ...mended, ...placed];
};

/** Flags without a value that others of the line need. */
const missing = (words: readonly string[], flags: readonly FlagShape[]): string[] => {
  const given = flags.filter(({name}) => words.some((word) => word.split('=', 1)[0] === `--${name}`));
  const needed = new Set(given.flatMap(({dependsOn = []}) => dependsOn));
  return flags
    .filter((flag) => needed.has(flag.name) && !given.includes(flag) && flag.type === 'boolean')
    .map(({name}) => `--${name}`);
};

const HELP: FlagShape = {name: 'help', char: 'h', type: 'boolean'};

interface LikelyFlag {
  shape: FlagShape;
  /** The flag as it is written, with its dashes. */
  text: string;
  /** Its value in the same word, as in --flag=value. */
  value: string | undefined;
}

const likelyFlag = (word: string, left: string[], flags: readonly FlagShape[]): LikelyFlag | null => {
  const [, text = word, value] =
    /^(--[^=]*)(?:=([^]*))?$/.exec(word) ?? /^(-[^-])=?([^]+)?$/.exec(word) ?? [];
  const named = (name: string): FlagShape | undefined => flags.find((flag) => flag.name === name);
  if (OUTPUT_FLAGS.includes(text)) {
    const shape = named((value ?? left.shift() ?? '').toLowerCase());
    return shape?.type === 'boolean' ? {shape, text: `--${shape.name}`, value: undefined} : null;
  }
  const byChar = flags.find(({char}) => text === `-${char ?? ''}`);
  if (byChar !== undefined) return {shape: byChar, text, value};
  const synonym = FLAG_SYNONYMS[text.toLowerCase()];
  const exact = named((synonym ?? text).slice(2));
  if (exact !== undefined) return {shape: exact, text: `--${exact.name}`, value};
  if (!text.startsWith('--')) return null;
  const near = named(
    nearest(
      text.slice(2),
      flags.map(({name}) => name),
    ) ?? '',
  );
  return near === undefined ? null : {shape: near, text: `--${near.name}`, value};
};

/** The words after a flag that are its values; a comma at the end of one joins it to the next. */
const takeValues = (left: string[], {multiple, name}: FlagShape): string[] => {
  const isValue = (): boolean => left[0] !== undefined && !/^-[^\d]/.test(left[0]);
  const values: string[] = [];
  while (isValue() && (multiple === true || values.length === 0)) {
    let value = left.shift() ?? '';
    while (FLAG_KINDS[name] === 'names' && value.endsWith(',') && isValue()) value += left.shift() ?? '';
    values.push(value);
  }
  return values;
};

const SECONDS: Readonly<Record<string, number>> = {s: 1, m: 60, h: 3600};

const likelyValues = (value: string, shape: FlagShape): string[] => {
  const {options, multiple} = shape;
  const kind = FLAG_KINDS[shape.name];
  if (options !== undefined && !options.includes(value)) {
    if (multiple === true && value.includes(','))
      return value.split(',').flatMap((part) => likelyValues(part.trim(), shape));
    const synonym = VALUE_SYNONYMS[value.toLowerCase()];
    if (synonym !== undefined && options.includes(synonym)) return [synonym];
    return [nearest(value, options) ?? value];
  }
  // a list where each needs a flag of its own
  const parts = value.split(',').filter((part) => part !== '');
  if (multiple === true && parts.length > 1 && (kind === 'number' || kind === 'address')) return parts;
  if (kind !== 'number' && kind !== 'seconds') return [value];
  const [, digits, unit = ''] = /^(\d+)([smh])$/i.exec(value) ?? [];
  if (kind === 'seconds' && digits !== undefined)
    return [String(Number(digits) * (SECONDS[unit.toLowerCase()] ?? 1))];
  return /^\d+(\.\d+)?e\d+$/i.test(value) ? [String(Number(value))] : [value];
};

const canBe = (value: string, {options, name}: FlagShape): boolean =>
  options?.includes(value) ??
  (!['number', 'seconds'].includes(FLAG_KINDS[name] ?? 'text') || /^\d{1,10}$/.test(value));

interface Place {
  command: CommandShape;
  commands: readonly CommandShape[];
  flags: readonly FlagShape[];
  /** Whether a VM is named. */
  hasVm: boolean;
}

/** Words that belong to no flag: arguments, and else what each is most likely a value of. */
const placeWords = (words: readonly string[], {command, commands, flags, hasVm}: Place): string[] | null => {
  // those of help are as many as are given
  const takes = command.id === 'help' ? words.length : Object.keys(command.args).length;
  const args = Object.values(command.args);
  const [first, ...others] = words.slice(takes);
  // of several numbers the first is the process, where one is needed
  const isPid = !hasVm && others.length > 0 && flags.some(({name}) => name === 'pid');
  const surplus = words
    .slice(takes)
    .map((word) =>
      isPid && word === first && kindOfWord(word) === 'number' ? ['--pid', word] : flagOf(word, flags),
    );
  if (surplus.includes(null)) return null;
  const names = commands.map(({id}) => id);
  const placed = words.slice(0, takes).map((word, at) => {
    const options = command.id === 'help' ? names : args[at]?.options;
    return options === undefined || options.includes(word) ? word : (nearest(word, options) ?? word);
  });
  return [...placed, ...surplus.flatMap((each) => each ?? [])];
};

const flagOf = (word: string, flags: readonly FlagShape[]): string[] | null => {
  const kind = kindOfWord(word);
  for (const name of FLAGS_OF_KIND[kind]) {
    if (flags.some((flag) => flag.name === name)) return [`--${name}`, word];
  }
  // one that needs another flag is meant only beside it
  const takers = flags.filter(
    ({options, dependsOn = []}) => options?.includes(word) === true && dependsOn.length === 0,
  );
  return takers.length === 1 ? [`--${takers[0]?.name ?? ''}`, word] : null;
};

/** Flags that take what looks so, the likeliest first. */
const FLAGS_OF_KIND: Record<WordKind, readonly string[]> = {
  number: ['group', 'pid'],
  address: ['device', 'cdev'],
  path: ['vm-sock', 'sock', 'sysroot'],
  word: [],
};

/** A command line as a shell takes it. */
export const commandText = (argv: readonly string[]): string =>
  [
    'kvfio',
    ...argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)),
  ].join(' ');
