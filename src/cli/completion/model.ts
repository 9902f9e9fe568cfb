import type {Command} from '@oclif/core';

/** What a shell completes, read from the commands themselves, as --help is. */
export interface CompletedCommand {
  id: string;
  summary: string;
  flags: CompletedFlag[];
  /** Values of the first positional argument; null when there is none. */
  argument: Values | null;
  /** A command line of another program follows after `--`. */
  passesOn: boolean;
}

export interface CompletedFlag {
  /** `--group` and, where there is one, `-g`. */
  names: string[];
  summary: string;
  /** Null for a flag without a value. */
  values: Values | null;
  multiple: boolean;
}

export type Values =
  | {kind: 'words'; words: readonly string[]}
  /** Several words, separated by commas. */
  | {kind: 'list'; words: readonly string[]}
  /** Files, one of a few words, or what this host has at the moment. */
  | {kind: 'files'; words: readonly string[]; source?: Source}
  /** What this host has at the moment. */
  | {kind: 'live'; source: Source}
  /** A text that cannot be guessed. */
  | {kind: 'text'};

/** IOMMU groups, PCI addresses, drivers of PCI devices, processes with a VM, listening unix sockets, names of users, CPUs. */
export const SOURCES = ['groups', 'devices', 'drivers', 'vms', 'sockets', 'users', 'cpus'] as const;
export type Source = (typeof SOURCES)[number];

/** What a device of --device may be called beside its address: interfaces and disks that have one. */
export const NAMED_DEVICES = ['/sys/class/net/*/device', '/sys/class/block/*/device'];

/** Values of flags by name, since a flag of one name means the same with every command; exceptions begin with their command. */
const VALUES: Record<string, Values> = {
  'diff a': {kind: 'files', words: []},
  'diff expect': {kind: 'files', words: []},
  'bind driver': {kind: 'words', words: ['auto', 'vfio-pci']},
  group: {kind: 'live', source: 'groups'},
  device: {kind: 'live', source: 'devices'},
  cdev: {kind: 'live', source: 'devices'},
  driver: {kind: 'live', source: 'drivers'},
  cpu: {kind: 'live', source: 'cpus'},
  pid: {kind: 'live', source: 'vms'},
  user: {kind: 'live', source: 'users'},
  'vm-sock': {kind: 'files', words: [], source: 'sockets'},
  sock: {kind: 'files', words: []},
  sysroot: {kind: 'files', words: []},
  out: {kind: 'files', words: []},
  baseline: {kind: 'files', words: []},
  log: {kind: 'files', words: []},
  kernel: {kind: 'files', words: []},
  svg: {kind: 'files', words: []},
  compare: {kind: 'files', words: []},
  file: {kind: 'files', words: []},
};

/** What can be completed of a command line. Hidden commands and flags are left to those who know them. */
export const completedCommands = (commands: readonly Command.Loadable[]): CompletedCommand[] => {
  const shown = commands.filter(({hidden}) => !hidden);
  const ids = [...new Set(shown.map(({id}) => id))].sort();
  return ids.flatMap((id) => {
    const command = shown.find((each) => each.id === id);
    return command === undefined ? [] : [completedCommand(command, ids)];
  });
};

const completedCommand = (command: Command.Loadable, ids: readonly string[]): CompletedCommand => {
  const flags = Object.values(command.flags).filter(({hidden}) => !hidden);
  const columns = columnsOf(flags.find(({name}) => name === 'columns')?.description ?? '');
  const [argument] = Object.values(command.args);
  const usage = [command.usage ?? ''].flat().join(' ');
  return {
    id: command.id,
    summary: whole(command.summary ?? command.description ?? ''),
    flags: [
      ...flags.flatMap((flag): CompletedFlag[] => {
        const {name, char, description = ''} = flag;
        const summary = whole(flag.summary ?? description);
        const isBoolean = flag.type === 'boolean';
        const own: CompletedFlag = {
          names: [`--${name}`, ...(char === undefined ? [] : [`-${char}`])],
          summary,
          values: isBoolean ? null : valuesOf(command.id, flag, columns),
          multiple: !isBoolean && (flag.multiple ?? false),
        };
        return isBoolean && flag.allowNo
          ? [own, {...own, names: [`--no-${name}`], summary: `not: ${summary}`}]
          : [own];
      }),
      {names: ['--help', '-h'], summary: 'show help', values: null, multiple: false},
    ],
    argument:
      command.id === 'help'
        ? {kind: 'words', words: ids}
        : argument === undefined
          ? null
          : valuesOf(command.id, argument, columns),
    passesOn: /\[-- COMMAND/.test(usage),
  };
};

const valuesOf = (
  command: string,
  {name, options, helpValue = ''}: Taker,
  columns: readonly string[],
): Values => {
  if (options !== undefined) return {kind: 'words', words: options};
  if (name === 'columns') return {kind: 'list', words: columns};
  if (name === 'sort') return {kind: 'words', words: columns};
  const values = VALUES[`${command} ${name}`] ?? VALUES[name.toLowerCase()] ?? {kind: 'text'};
  return values.kind === 'files' ? {...values, words: [...values.words, ...fixedWords(helpValue)]} : values;
};

/** What takes a value: a flag or an argument. */
interface Taker {
  name: string;
  options?: readonly string[] | undefined;
  helpValue?: string | string[] | undefined;
}

/** The words of `host|6.1|PATH` that are meant as they stand: `host` and `6.1`. */
const fixedWords = (helpValue: string | string[]): string[] =>
  [helpValue]
    .flat()
    .flatMap((each) => each.split('|'))
    .filter((word) => /^[a-z\d.]+$/.test(word));

/** The help of --columns (table-flags.ts) names them all. */
const columnsOf = (description: string): string[] =>
  /: ([a-z]+(?:, [a-z]+)+)$/.exec(description)?.[1]?.split(', ') ?? [];

const whole = (text: string): string =>
  text.replaceAll('<%= config.bin %>', 'kvfio').replaceAll(/\s+/g, ' ').trim().replace(/\.$/, '');
