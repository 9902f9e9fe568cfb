import {SyscallError} from '../linux/errno.js';
import type {Capture} from '../host/capture.js';
import type {HostTree} from '../host/tree.js';
import {relevantParameters} from '../iommu/kernel.js';
import {listed} from '../words.js';

/** A line of GRUB's settings that has a part of the kernel's command line. */
interface Assignment {
  file: string;
  variable: string;
  words: string[];
  /** Whether it keeps what the variable had before. */
  adds: boolean;
}

/** Where the command line of kernels is set for GRUB. */
export class GrubSettings {
  readonly #assignments: readonly Assignment[];

  constructor(assignments: readonly Assignment[]) {
    this.#assignments = assignments;
  }

  /** What has a word, which may stand in several places; where it does not show, all that may. */
  placeOf(word: string): string {
    const places = this.#assignments.filter(({words}) => words.includes(word)).map(placeText);
    return places.length > 0
      ? listed([...new Set(places)])
      : `${VARIABLE} or ${VARIABLE}_DEFAULT in ${FILE}, whichever has it`;
  }

  /** The place for a word that all entries are to have: a setting that no later file replaces. */
  get placeToAdd(): string {
    const last = this.#assignments.findLast(({variable, adds}) => variable === VARIABLE && !adds);
    return placeText(last ?? {variable: VARIABLE, file: FILE});
  }
}

/** Reads what grub-mkconfig reads, in its order; null where GRUB has no settings. */
export const readGrub = (tree: HostTree): GrubSettings | null => {
  const main = tree.text(FILE);
  if (main instanceof SyscallError && main.code === 'ENOENT') return null;
  const names = tree.list(FOLDER);
  const files = names instanceof SyscallError ? [] : names.filter((name) => name.endsWith('.cfg')).sort();
  return new GrubSettings(
    [FILE, ...files.map((name) => `${FOLDER}/${name}`)].flatMap((file) => {
      const text = tree.text(file);
      return text instanceof SyscallError ? [] : assignmentsIn(file, text);
    }),
  );
};

/**
 * grub-mkconfig gives kernels what GRUB_CMDLINE_LINUX has, and after that, but to recovery entries, what
 * GRUB_CMDLINE_LINUX_DEFAULT has (util/grub.d/10_linux.in).
 */
const VARIABLE = 'GRUB_CMDLINE_LINUX';
const FILE = '/etc/default/grub';

/** Folder of Debian and its derivatives, which is read after the file and may replace what that says. */
const FOLDER = '/etc/default/grub.d';

const placeText = ({variable, file}: Pick<Assignment, 'variable' | 'file'>): string =>
  `${variable} in ${file}`;

const assignmentsIn = (file: string, text: string): Assignment[] =>
  text.split('\n').flatMap((line) => {
    const [, variable, value] = ASSIGNMENT.exec(line) ?? [];
    if (variable === undefined || value === undefined) return [];
    const words = value.replaceAll(/^["']|["']$/g, '').split(/\s+/);
    return [{file, variable, words: words.filter(Boolean), adds: refersTo(variable).test(value)}];
  });

const ASSIGNMENT = /^\s*(?:export\s+)?(GRUB_CMDLINE_LINUX(?:_DEFAULT)?)=("[^"]*"|'[^']*'|\S*)/;

const refersTo = (variable: string): RegExp => new RegExp(`\\$\\{?${variable}\\b`);

/** Cuts captured settings down to what is read of them. */
export const cutGrub = ({texts, directories}: Pick<Capture, 'texts' | 'directories'>): void => {
  for (const path of Object.keys(texts)) {
    if (path !== FILE && !path.startsWith(`${FOLDER}/`)) continue;
    texts[path] = assignmentsIn(path, texts[path] ?? '')
      .map(({variable, words, adds}) => {
        const kept = [...(adds ? [`$${variable}`] : []), ...relevantParameters(words.join(' '))];
        return `${variable}="${kept.join(' ')}"\n`;
      })
      .join('');
  }
  const names = directories[FOLDER];
  if (names === undefined) return;
  directories[FOLDER] = names.filter((name) => texts[`${FOLDER}/${name}`]);
  for (const name of names)
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- the keys are paths
    if (texts[`${FOLDER}/${name}`] === '') delete texts[`${FOLDER}/${name}`];
};
