import {NAMED_DEVICES, type CompletedCommand, type CompletedFlag, type Source, type Values} from './model.js';

/** The completion of zsh, with descriptions; as {@link bashCompletion} it starts no kvfio. */
export const zshCompletion = (commands: readonly CompletedCommand[]): string => `#compdef kvfio
# Completion of kvfio for zsh: source <(kvfio completion zsh), or a file "_kvfio" in a folder of $fpath

${Object.entries(LIVE)
  .map(([source, body]) => `_kvfio_${source}() {\n  local -a values\n  ${body}\n}`)
  .join('\n')}

_kvfio() {
  local context state state_descr line
  typeset -A opt_args
  local -a commands
  commands=(
${commands.map(({id, summary}) => `    ${quoted(`${id}:${summary}`)}`).join('\n')}
  )
  _arguments -C '(-h --help)'{-h,--help}'[show help]' '--version[show the version]' '1: :->command' '*:: :->rest'
  case $state in
    command) _describe -t commands command commands ;;
    rest)
      case $words[1] in
${commands.map(commandCase).join('\n')}
      esac
      ;;
  esac
}

if [[ $funcstack[1] == _kvfio ]]; then _kvfio "$@"; else compdef _kvfio kvfio; fi
`;

const LIVE: Record<Source, string> = {
  groups: 'values=(/sys/kernel/iommu_groups/*(Nn:t)); _wanted groups expl group compadd -V groups -a values',
  devices: `values=(/sys/bus/pci/devices/*(N:t) ${NAMED_DEVICES.map((each) => `${each}(N:h:t)`).join(' ')}); _wanted devices expl device compadd -a values`,
  sockets:
    'values=(${(f)"$(awk \'$4 == "00010000" && NF > 7 {print $8}\' /proc/net/unix 2> /dev/null)"}); compadd -a values; _files',
  drivers: 'values=(none /sys/bus/pci/drivers/*(N:t)); _wanted drivers expl driver compadd -a values',
  vms: `local pid
  for pid in \${(f)"$(find /proc/[0-9]*/fd -maxdepth 1 -lname anon_inode:kvm-vm 2> /dev/null | cut -d / -f 3 | sort -nu)"}; do
    values+=("$pid:\${$(< /proc/$pid/comm)//:/ }")
  done 2> /dev/null
  _describe -t processes 'process with a VM' values`,
  cpus: 'values=(/sys/devices/system/cpu/cpu<->(Nn:t)); values=(${values#cpu}); _wanted cpus expl CPU compadd -V cpus -a values',
  users: '_users',
};

const commandCase = ({id, flags, argument, passesOn}: CompletedCommand): string => {
  const specs = [
    ...flags.map(flagSpec),
    ...(argument === null ? [] : [quoted(`1: :${action(argument)}`)]),
    ...(passesOn ? [quoted('*::: :_normal')] : []),
  ];
  return `        ${id})\n          _arguments -s -S \\\n${specs.map((spec) => `            ${spec}`).join(' \\\n')}\n          ;;`;
};

/** `'*'{--group,-g}'[only this group]:group:_kvfio_groups'`: a flag is offered once unless it may be repeated. */
const flagSpec = ({names, summary, values, multiple}: CompletedFlag): string => {
  const repeat = multiple ? quoted('*') : quoted(`(${names.join(' ')})`);
  // a value may also follow an equals sign
  const spelled = names.map((name) => (values !== null && name.startsWith('--') ? `${name}=` : name));
  const name = spelled.length === 1 ? (spelled[0] ?? '') : `{${spelled.join(',')}}`;
  const text = `[${summary.replaceAll(/[[\]\\:]/g, String.raw`\\$&`)}]`;
  return `${repeat}${name}${quoted(values === null ? text : `${text}: :${action(values)}`)}`;
};

const action = (values: Values): string => {
  switch (values.kind) {
    case 'words':
      return `(${values.words.join(' ')})`;
    case 'list':
      return `_sequence compadd - ${values.words.join(' ')}`;
    case 'files':
      if (values.source !== undefined) return `_kvfio_${values.source}`;
      return values.words.length === 0
        ? '_files'
        : `_alternative "words:word:(${values.words.join(' ')})" "files:file:_files"`;
    case 'live':
      return `_kvfio_${values.source}`;
    case 'text':
      return ' ';
  }
};

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
