import {Help} from '@oclif/core';
import {HELP_MAP, ROUND} from './help-map.js';

/** `kvfio --help` is a map of the tool on one screen; help of a command is oclif's. */
export default class KvfioHelp extends Help {
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
        .map(
          ([ids, text], index) =>
            `${(index === 0 ? title : '').padEnd(9)}${ids.join(', ').padEnd(21)}${text}`,
        ),
    );
    const round = ROUND.filter(([line]) => isThere(line.split(' ', 1)[0] ?? '')).map(
      ([line, text]) => `  kvfio ${line.padEnd(36)} ${text}`,
    );
    return [
      `kvfio ${this.config.version}: IOMMU groups, and the KVM-VFIO device of any VM`,
      '',
      ...sections,
      '',
      'A round with group 12, and the VM of process 4711:',
      ...round,
      '"kvfio COMMAND --help" explains a command; all but help have --json.',
    ].join('\n');
  }
}

type Entry = [ids: string[], text: string];

/** Columns that are left for a text on a terminal of 80. */
const LONGEST = 50;
