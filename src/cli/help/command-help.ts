import {CommandHelp, type Interfaces} from '@oclif/core';
import {beside, visibleLength, wrapped} from '../output/wrap.js';

/** Groups of flags that a first look does without; `--help --all` and docs/commands.md have them. */
const LATER: readonly string[] = [
  'RANK',
  'SETUP',
  'OWNER',
  'TABLE',
  'CONDITIONS',
  'OUTPUT',
  'AGAINST',
  'FORCE',
  'GUEST',
  'GLOBAL',
];

/** Examples of a first look. */
const FIRST_EXAMPLES = 2;

/** Columns of the widest flag that still has its text beside it. */
const BESIDE = 24;

/** Flags of one beginning that are named as one, `--force-*`. */
const FAMILY = 3;

type Flag = Parameters<CommandHelp['groupFlags']>[0][number];

/** Help of one command, in the order of docs/commands.md: what it takes, what it does, and lines to copy. */
export class KvfioCommandHelp extends CommandHelp {
  /** Whether only what one needs first is shown, which fits on a screen of 24 lines. */
  readonly #brief: boolean;

  constructor(command: CommandHelp['command'], config: Interfaces.Config, options: HelpOptions) {
    super(command, config, {...options, flagSortOrder: 'none', showFlagOptionsInTitle: false});
    this.#brief = options.brief === true;
  }

  protected override usage(): string {
    const {usage = []} = this.command;
    const lines = [usage].flat();
    const all = lines.length > 0 ? lines : [this.defaultUsage()];
    return all
      .flatMap((line) =>
        wrapped(`${this.config.bin} ${this.render(line)}`, this.opts.maxWidth - 2, '    ', ''),
      )
      .join('\n');
  }

  /** Groups of flags in the order in which the command names them, those of all commands last. A first look has one list. */
  protected override groupFlags(flags: Flag[]): {
    flagGroups: Record<string, Flag[]>;
    mainFlags: Flag[];
  } {
    if (this.#brief)
      return {flagGroups: {}, mainFlags: flags.filter(({helpGroup = ''}) => !LATER.includes(helpGroup))};
    const {flagGroups, mainFlags} = super.groupFlags(flags);
    const {GLOBAL = [], ...others} = flagGroups;
    return {flagGroups: {...others, ...(GLOBAL.length > 0 && {GLOBAL})}, mainFlags};
  }

  /** A value without a name of its own is called as its flag. */
  protected override flagHelpLabel(flag: Flag, showOptions = false): string {
    return super.flagHelpLabel(flag, showOptions).replace(/<(?:option|value)>/, flag.name.toUpperCase());
  }

  /** A first look has the summary of a flag that has one, all else its description. */
  protected override flags(flags: Flag[]): [string, string | undefined][] | undefined {
    const worded = flags.map(({summary, description, ...flag}): Flag => {
      const text = this.#brief ? (summary ?? description) : (description ?? summary);
      return {...flag, ...(text !== undefined && {description: text})};
    });
    return super.flags(worded)?.map(([label, text]) => [label, text?.replace(/\n<options: (.*)>$/, ' ($1)')]);
  }

  protected override flagsDescriptions(): undefined {
    return undefined;
  }

  /** The summary stands above all; here is what it does not say. */
  protected override description(): string {
    const paragraphs = (this.command.description ?? '').split(/\n\n+/);
    return this.wrap((this.#brief ? paragraphs.slice(0, 1) : paragraphs).join('\n\n'));
  }

  protected override examples(examples: Parameters<CommandHelp['examples']>[0]): string | undefined {
    const all = [examples ?? []].flat().map((each) => {
      const {description = '', command} = typeof each === 'string' ? {command: each} : each;
      const line = this.render(command);
      return {
        text: description.replace(/:$/, ''),
        line: line.startsWith(this.config.bin) ? `$ ${line}` : line,
      };
    });
    if (all.length === 0) return undefined;
    return (this.#brief ? this.#examplesBeside(all.slice(0, FIRST_EXAMPLES)) : this.#examplesBelow(all)).join(
      '\n',
    );
  }

  /** Texts as comments of a shell, so that they can be copied with the line. */
  #examplesBelow(all: readonly Example[]): string[] {
    return all.flatMap(({line, text}) => [
      ...(text === '' ? [] : wrapped(`# ${text}`, this.opts.maxWidth - 2, '# ', '')),
      this.#commandLine(line),
    ]);
  }

  #examplesBeside(all: readonly Example[]): string[] {
    const column = Math.max(...all.map(({line}) => line.length));
    return all.flatMap((each) => {
      const lines = beside(`${each.line.padEnd(column)}  # `, each.text, this.opts.maxWidth - 2);
      return lines.length === 1 ? lines : this.#examplesBelow([each]);
    });
  }

  /** Broken as a shell takes it, which is not within quotes. */
  #commandLine(line: string): string {
    return /['"]/.test(line) ? line : this.wrap(line, 8).replaceAll('\n', ' \\\n    ');
  }

  /** Flags that are wider than others have their text below them, so that it has room. */
  override renderList(input: (string | undefined)[][], {indentation}: {indentation: number}): string {
    const column = Math.min(BESIDE, Math.max(...input.map(([left = '']) => visibleLength(left)))) + 2;
    return input
      .flatMap(([left = '', right = '']) => {
        const lines = this.wrap(right.trim(), indentation + column).split('\n');
        const below = lines.map((line) => ' '.repeat(column) + line.trim());
        return visibleLength(left) > column - 2
          ? [left.trimEnd(), ...(right === '' ? [] : below)]
          : [left.padEnd(column + left.length - visibleLength(left)) + (lines[0] ?? ''), ...below.slice(1)];
      })
      .map((line) => line.trimEnd())
      .join('\n');
  }

  protected override sections(): ReturnType<CommandHelp['sections']> {
    const sections = super.sections();
    return this.#brief ? sections.filter(({header}) => header !== 'ALIASES') : sections;
  }

  override generate(): string {
    const more = this.#brief ? this.#more() : null;
    return more === null ? super.generate() : `${super.generate()}\n\n${more}`;
  }

  /** What `--all` adds, by name, but for what the usage names. */
  #more(): string | null {
    const {flags, description = '', usage = []} = this.command;
    const named = [usage]
      .flat()
      .join(' ')
      .split(/[^\w-]+/);
    const later = Object.entries(flags).filter(
      ([name, {hidden, helpGroup = ''}]) =>
        hidden !== true && LATER.includes(helpGroup) && !named.includes(`--${name}`),
    );
    if (later.length === 0 && !description.includes('\n\n')) return null;
    const names = later
      // what all commands have comes last
      .sort(([, a], [, b]) => Number(a.helpGroup === 'GLOBAL') - Number(b.helpGroup === 'GLOBAL'))
      .map(([name]) => `--${name}`);
    return this.wrap(`"--help --all" has more: ${familiesOf(names).join(', ')}.`, 0);
  }
}

interface Example {
  line: string;
  text: string;
}

/** Names with one beginning as one: `--force-swap`, `--force-held` and others as `--force-*`. */
const familiesOf = (names: readonly string[]): string[] => {
  const family = (name: string): string => name.replace(/^(--[a-z]+-).*/, '$1');
  const isLarge = (name: string): boolean =>
    names.filter((each) => family(each) === family(name)).length >= FAMILY;
  return [...new Set(names.map((name) => (isLarge(name) ? `${family(name)}*` : name)))];
};

/** What oclif's classes are told, and whether only what one needs first is shown. */
export type HelpOptions = Interfaces.HelpOptions & {brief?: boolean};
