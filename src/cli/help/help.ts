import {Help, type Command} from '@oclif/core';
import {KvfioCommandHelp, type HelpOptions} from './command-help.js';
import {HELP_MAP, ROUND} from './help-map.js';
import {beside, wrapped} from '../output/wrap.js';

/** `kvfio --help` is a map of the tool on one screen; help of a command is what one needs first, and all with `--all`. */
export default class KvfioHelp extends Help {
  /** docs/commands.md, which is made by {@link formatCommand} alone, has all. */
  #brief = false;

  override async showHelp(argv: string[]): Promise<void> {
    this.#brief = !argv.includes('--all');
    await super.showHelp(argv.filter((word) => word !== '--all'));
  }

  protected override getCommandHelpClass(command: Command.Loadable): KvfioCommandHelp {
    const options: HelpOptions = {...this.opts, brief: this.#brief};
    return new KvfioCommandHelp(command, this.config, options);
  }

  protected override summary(command: Command.Loadable): string | undefined {
    const summary = super.summary(command);
    return summary === undefined ? undefined : this.wrap(summary, 0);
  }

  override showRootHelp(): Promise<void> {
    this.log(this.formatRoot());
    return Promise.resolve();
  }

  override formatRoot(): string {
    const shown = this.sortedCommands.filter(({aliases, id}) => !aliases.includes(id));
    const isThere = (id: string): boolean => shown.some((command) => command.id === id);
    const mapped = new Set(HELP_MAP.flatMap(({entries}) => entries.flatMap(([ids]) => ids)));
    const rest = shown
      .filter(({id}) => !mapped.has(id))
      .map(({id, summary}): Entry => [[id], (summary ?? '').replace(/\.$/, '').slice(0, LONGEST)]);
    const sections = [...HELP_MAP, {title: 'more', entries: rest}].flatMap(({title, entries}) =>
      entries
        .map(([ids, text]): Entry => [ids.filter(isThere), text])
        .filter(([ids]) => ids.length > 0)
        .flatMap(([ids, text], index) =>
          this.#beside(`${(index === 0 ? title : '').padEnd(9)}${ids.join(', ').padEnd(21)}`, text),
        ),
    );
    const round = ROUND.filter(([line]) => isThere(line.split(' ', 1)[0] ?? '')).flatMap(([line, text]) =>
      this.#beside(`  kvfio ${line.padEnd(36)} `, text),
    );
    return [
      `kvfio ${this.config.version}: IOMMU groups, and the KVM-VFIO device of any VM`,
      '',
      ...sections,
      '',
      'A round with group 12, and the VM of process 4711:',
      ...round,
      ...wrapped(
        '"kvfio COMMAND --help" explains a command; all but help have --json.',
        this.opts.maxWidth,
        '',
      ),
    ].join('\n');
  }

  #beside(left: string, text: string): string[] {
    return beside(left, text, this.opts.maxWidth);
  }
}

type Entry = [ids: string[], text: string];

/** Columns that are left for a text on a terminal of 80. */
const LONGEST = 50;
