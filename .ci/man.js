// Writes the man pages, one for each command and one that leads to them, from the commands themselves as --help is:
// node .ci/man.js [FOLDER]. Needs dist/.
import {mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {Config} from '@oclif/core';
import {EXIT_MEANINGS} from '../dist/cli/help/exit-meanings.js';
import {HELP_MAP, ROUND} from '../dist/cli/help/help-map.js';
import {EXIT_CODES} from '../dist/failure.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = process.argv[2] ?? 'dist/man';

const config = await Config.load({root, ignoreManifest: true});
const commands = config.commands
  .filter(({hidden, aliases, id}) => !hidden && !aliases.includes(id))
  .sort((a, b) => a.id.localeCompare(b.id));
const isThere = (id) => commands.some((command) => command.id === id);

/** Text for troff: nothing in it is a request, an escape, or a hyphen where a minus is meant. */
const text = (words) =>
  words
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('"', '\\(dq')
    .replaceAll("'", '\\(aq')
    .replaceAll('`', '\\(ga')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replaceAll(/[^\x00-\x7f]/gu, (character) => {
      const code = character.codePointAt(0).toString(16).toUpperCase().padStart(4, '0');
      return `\\[u${code}]`;
    })
    .replaceAll(/^\./gm, '\\&.');
const bold = (words) => `\\fB${text(words)}\\fR`;
const italic = (words) => `\\fI${text(words)}\\fR`;

const rendered = (words, id) =>
  words
    .replaceAll(/<%= *config\.bin *%>/g, 'kvfio')
    .replaceAll(/<%= *command\.id *%>/g, id)
    .trim();

const sentence = (words) => (/[.!?]$/.test(words) ? words : `${words}.`);
const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);
const paragraphs = (words) =>
  words.split(/\n\s*\n/).flatMap((part) => ['.PP', text(part.replaceAll('\n', ' '))]);

const usages = (command) => {
  const own = [command.usage ?? []].flat();
  if (own.length > 0) return own.map((line) => `${bold('kvfio')} ${text(rendered(line, command.id))}`);
  const args = Object.values(command.args).map(({name, required}) => {
    const word = italic(name.toUpperCase());
    return required ? word : `[${word}]`;
  });
  return [[bold(`kvfio ${command.id}`), ...args, `[${italic('FLAGS')}]`].join(' ')];
};

const flag = (each) => {
  const value = each.options?.join('|') ?? each.helpValue ?? '<value>';
  const valued = each.type === 'option' ? `=${italic([value].flat().join('|'))}` : '';
  const name = each.type === 'boolean' && each.allowNo ? `--[no-]${each.name}` : `--${each.name}`;
  const spelled = [...(each.char === undefined ? [] : [bold(`-${each.char}`)]), `${bold(name)}${valued}`];
  const words = [
    each.description ?? each.summary ?? '',
    ...(each.type === 'option' && each.multiple ? ['may be repeated'] : []),
    ...(each.default !== undefined && each.type === 'option' ? [`default ${String(each.default)}`] : []),
  ];
  return ['.TP', spelled.join(', '), text(sentence(capital(words.filter(Boolean).join('; '))))];
};

const example = (each, id) => {
  const {description = '', command = ''} = typeof each === 'string' ? {command: each} : each;
  return [
    ...(description === '' ? [] : ['.PP', text(`${capital(rendered(description, id)).replace(/:$/, '')}:`)]),
    ...['.RS 4', '.nf', text(rendered(command, id)), '.fi', '.RE'],
  ];
};

const date = new Date(Number(process.env['SOURCE_DATE_EPOCH'] ?? Date.now() / 1000) * 1000);

/** Name, date and version of a page, and the line that `apropos` shows. */
const head = (name, about) => [
  `.TH ${name.toUpperCase()} 1 "${date.toISOString().slice(0, 10)}" "kvfio ${config.version}" "User Commands"`,
  '.SH NAME',
  text(`${name} - ${about}`),
];

const globalFlags = () => ['.SH GLOBAL FLAGS', ...[...globals.values()].flatMap(flag)];

const exitStatus = () => [
  '.SH EXIT STATUS',
  '.TP',
  '0',
  'Done, or nothing needed doing.',
  ...Object.entries(EXIT_CODES).flatMap(([kind, code]) => [
    '.TP',
    String(code),
    text(sentence(capital(EXIT_MEANINGS[kind]))),
  ]),
];

const uncapital = (words) =>
  /^[A-Z][a-z]/.test(words) ? words.charAt(0).toLowerCase() + words.slice(1) : words;

/** Flags as --help puts them: those without a group first, then each group under its name. */
const flagSections = (flags) => {
  const groups = new Map([['', []]]);
  for (const each of flags)
    groups.set(each.helpGroup ?? '', [...(groups.get(each.helpGroup ?? '') ?? []), each]);
  return [...groups]
    .filter(([, members]) => members.length > 0)
    .flatMap(([name, members]) => [`.SH ${name} FLAGS`.replace('  ', ' '), ...members.flatMap(flag)]);
};

const commandPage = (command) => {
  const flags = Object.values(command.flags).filter(
    ({hidden, helpGroup}) => !hidden && helpGroup !== 'GLOBAL',
  );
  const args = Object.values(command.args).filter(({hidden}) => !hidden);
  const examples = [command.examples ?? []].flat();
  const summary = rendered(command.summary ?? '', command.id).replace(/\.$/, '');
  return [
    ...head(`kvfio-${command.id}`, uncapital(summary)),
    '.SH SYNOPSIS',
    ...usages(command).flatMap((line, at) => (at === 0 ? [line] : ['.br', line])),
    ...command.aliases.flatMap((alias) => ['.PP', `${bold(`kvfio ${alias}`)} ${text('is the same.')}`]),
    '.SH DESCRIPTION',
    ...paragraphs(sentence(summary)),
    ...(command.description === undefined ? [] : paragraphs(rendered(command.description, command.id))),
    ...(args.length === 0 ? [] : ['.SH ARGUMENTS']),
    ...args.flatMap(({name, description = '', options}) => [
      '.TP',
      italic(options?.join('|') ?? name.toUpperCase()),
      text(sentence(capital(description))),
    ]),
    ...flagSections(flags),
    ...(Object.values(command.flags).some(({helpGroup}) => helpGroup === 'GLOBAL') ? globalFlags() : []),
    ...(examples.length === 0 ? [] : ['.SH EXAMPLES']),
    ...examples.flatMap((each) => example(each, command.id)),
    ...exitStatus(),
    '.SH SEE ALSO',
    '.BR kvfio (1)',
  ];
};

const globals = new Map(
  commands
    .flatMap(({flags}) => Object.values(flags))
    .filter(({hidden, helpGroup}) => !hidden && helpGroup === 'GLOBAL')
    .map((each) => [each.name, each]),
);

const mainPage = () => [
  ...head('kvfio', 'IOMMU groups, and the KVM-VFIO device of any VM'),
  '.SH SYNOPSIS',
  `${bold('kvfio')} ${italic('COMMAND')} [${italic('FLAGS')}]`,
  '.SH DESCRIPTION',
  text(
    'Shows whether the IOMMU forces the DMA of devices to be cache coherent and what that means for a VM, tells KVM which VFIO groups a VM uses, and checks a host for all of it.',
  ),
  ...HELP_MAP.flatMap(({entries}) => entries)
    .map(([ids, words]) => [ids.filter(isThere), words])
    .filter(([ids]) => ids.length > 0)
    .flatMap(([ids, words]) => ['.TP', ids.map(bold).join(', '), text(sentence(capital(words)))]),
  '.PP',
  text('A round with group 12, and the VM of process 4711:'),
  '.RS 4',
  '.nf',
  ...ROUND.filter(([line]) => isThere(line.split(' ', 1)[0])).map(([line]) => text(`kvfio ${line}`)),
  '.fi',
  '.RE',
  '.SH COMMANDS',
  ...commands.flatMap(({id, summary}) => [
    '.TP',
    `\\fBkvfio\\-${text(id)}\\fR(1)`,
    text(sentence(rendered(summary ?? '', id))),
  ]),
  ...globalFlags(),
  ...exitStatus(),
  '.SH ENVIRONMENT',
  '.TP',
  bold('NO_COLOR'),
  'Plain output, when it is not empty.',
  '.TP',
  bold('FORCE_COLOR'),
  'Colours also where standard output is no terminal.',
  '.TP',
  bold('KVFIO_DEBUG'),
  `When it is neither empty nor 0, the same as ${bold('--debug')}.`,
  '.TP',
  bold('XDG_RUNTIME_DIR'),
  `The folder in which ${bold('kvfio vm')} makes its socket.`,
  '.TP',
  bold('XDG_CACHE_HOME'),
  `The folder in which ${bold('kvfio lab')} keeps kernels.`,
  '.SH SEE ALSO',
  '.BR lspci (8),',
  '.BR driverctl (8),',
  '.BR kcmp (2)',
];

mkdirSync(folder, {recursive: true});
const write = (name, lines) => {
  // a section begins with a paragraph of its own
  const needed = lines.filter((line, at) => line !== '.PP' || !lines[at - 1]?.startsWith('.SH'));
  writeFileSync(join(folder, `${name}.1`), `${needed.join('\n')}\n`);
};
write('kvfio', mainPage());
for (const command of commands) write(`kvfio-${command.id}`, commandPage(command));
