import {CommandHelp, type Interfaces} from '@oclif/core';
import {visibleLength} from './wrap.js';

/** Groups of flags that a first look does without; `--help --all` and docs/commands.md have them. */
const LATER: readonly string[] = [
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

type Flag = Parameters<CommandHelp['groupFlags']>[0][number];

/** Help of one command, in the order of docs/commands.md: what it takes, what it does, and lines to copy. */
export class KvfioCommandHelp extends CommandHelp {
  /** Whether only what one needs first is shown. */
  readonly #brief: boolean;

  constructor(command: CommandHelp['command'], config: Interfaces.Config, options: HelpOptions) {
    super(command, config, {...options, flagSortOrder: 'none', showFlagOptionsInTitle: false});
    this.#brief = options.brief === true;
  }

  /** In the order in which the command names them, what all commands have last. */
  protected override groupFlags(flags: Flag[]): {
    flagGroups: Record<string, Flag[]>;
    mainFlags: Flag[];
  } {
    const {flagGroups, mainFlags} = super.groupFlags(flags);
    const {GLOBAL = [], ...others} = flagGroups;
    const shown = Object.entries({...others, ...(GLOBAL.length > 0 && {GLOBAL})}).filter(
      ([name]) => !(this.#brief && LATER.includes(name)),
    );
    return {flagGroups: Object.fromEntries(shown), mainFlags};
  }

  /** A value without a name of its own is called as its flag. */
  protected override flagHelpLabel(flag: Flag, showOptions = false): string {
    return super.flagHelpLabel(flag, showOptions).replace(/<(?:option|value)>/, flag.name.toUpperCase());
  }

  protected override flags(flags: Flag[]): [string, string | undefined][] | undefined {
    return super.flags(flags)?.map(([label, text]) => [label, text?.replace(/\n<options: (.*)>$/, ' ($1)')]);
  }

  /** The summary stands above all; here is what it does not say. */
  protected override description(): string {
    const paragraphs = (this.command.description ?? '').split(/\n\n+/);
    return this.wrap((this.#brief ? paragraphs.slice(0, 1) : paragraphs).join('\n\n'));
  }

  protected override examples(examples: Parameters<CommandHelp['examples']>[0]): string | undefined {
    const all = [examples ?? []].flat();
    const lines = (this.#brief ? all.slice(0, FIRST_EXAMPLES) : all).flatMap((each) => {
      const {description = '', command} = typeof each === 'string' ? {command: each} : each;
      const line = this.render(command);
      return [
        ...(description === '' ? [] : [this.wrap(`${description.replace(/:$/, '')}:`, 4)]),
        this.indent(this.#commandLine(line.startsWith(this.config.bin) ? `$ ${line}` : line)),
      ];
    });
    return lines.length === 0 ? undefined : lines.join('\n');
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

  /** What `--all` adds, by name. */
  #more(): string | null {
    const {flags, description = '', id} = this.command;
    const later = Object.entries(flags).filter(
      ([, {hidden, helpGroup = ''}]) => hidden !== true && LATER.includes(helpGroup),
    );
    if (later.length === 0 && !description.includes('\n\n')) return null;
    // what all commands have comes last
    const names = later
      .sort(([, a], [, b]) => Number(a.helpGroup === 'GLOBAL') - Number(b.helpGroup === 'GLOBAL'))
      .map(([name]) => `--${name}`);
    return this.wrap(`"kvfio ${id} --help --all" has more: ${names.join(', ')}.`, 0);
  }
}

/** What oclif's classes are told, and whether only what one needs first is shown. */
export type HelpOptions = Interfaces.HelpOptions & {brief?: boolean};
