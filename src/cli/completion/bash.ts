import {NAMED_DEVICES, type CompletedCommand, type Source, type Values} from './model.js';

/**
 * The completion of bash: a script that needs neither kvfio nor any package to run, so that a key press costs no start
 * of Node. What is live it reads from sysfs and procfs itself.
 */
export const bashCompletion = (
  commands: readonly CompletedCommand[],
): string => `# Completion of kvfio for bash: source <(kvfio completion bash)

${Object.entries(LIVE)
  .map(([source, command]) => `_kvfio_${source}() { ${command}; }`)
  .join('\n')}

# flags of a command
_kvfio_flags() {
  case $1 in
${commands.map(({id, flags}) => `    ${id}) echo ${quoted(flags.flatMap(({names}) => names))} ;;`).join('\n')}
  esac
}

# values of a flag (or, for an empty flag, of the argument) of a command; "files" and "list" go before words
_kvfio_values() {
  case "$1 $2" in
${commands.flatMap(valueLines).join('\n')}
    *) return 1 ;;
  esac
}

_kvfio() {
  local line=\${COMP_LINE:0:COMP_POINT} current command= flag= kind= word
  local -a words
  read -ra words <<< "$line"
  current=
  [[ $line == *[[:space:]] ]] || { current=\${words[-1]}; unset 'words[-1]'; }
  COMPREPLY=()

  for word in "\${words[@]:1}"; do
    if [[ -z $command && $word != -* ]]; then command=$word
    elif [[ $word == -- && -n $command ]]; then
      case $command in ${passing(commands)}) COMPREPLY=($(compgen -c -- "$current")); return ;; esac
    fi
  done
  if [[ -z $command ]]; then
    COMPREPLY=($(compgen -W ${quoted([...commands.map(({id}) => id), '--help', '--version'])} -- "$current"))
    return
  fi

  # a value follows its flag, or stands behind an equals sign
  word=$current
  if [[ $current == --*=* ]]; then flag=\${current%%=*}; word=\${current#*=}
  elif [[ \${words[-1]} == -* ]]; then flag=\${words[-1]}
  fi
  local values
  if [[ -n $flag ]] && values=$(_kvfio_values "$command" "$flag"); then :
  elif [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$(_kvfio_flags "$command")" -- "$current"))
    return
  else
    word=$current
    values=$(_kvfio_values "$command" '') || values=$(_kvfio_flags "$command")
  fi

  case $values in
    files*) kind=files; values=\${values#files} ;;
    list*) kind=list; values=\${values#list} ;;
  esac
  local before=
  if [[ $kind == list && $word == *,* ]]; then before=\${word%,*},; word=\${word##*,}; fi
  COMPREPLY=($(compgen -P "$before" -W "$values" -- "$word"))
  if [[ $kind == files ]]; then
    local IFS=$'\\n'
    COMPREPLY+=($(compgen -f -- "$word"))
    compopt -o filenames 2> /dev/null
  fi
  [[ $kind != list ]] || compopt -o nospace 2> /dev/null

  # readline replaces only what stands behind the last of its word breaks
  local stem
  for stem in : =; do
    if [[ $current == *"$stem"* && $COMP_WORDBREAKS == *"$stem"* && $word == *"$stem"* ]]; then
      COMPREPLY=("\${COMPREPLY[@]#"\${word%"$stem"*}$stem"}")
    fi
  done
}

# numbers stay in their order where bash can leave words unsorted (4.4 and newer)
complete -o nosort -F _kvfio kvfio 2> /dev/null || complete -F _kvfio kvfio
`;

const LIVE: Record<Source, string> = {
  groups: 'command ls /sys/kernel/iommu_groups 2> /dev/null | sort -n',
  sockets: 'awk \'$4 == "00010000" && NF > 7 {print $8}\' /proc/net/unix 2> /dev/null',
  devices: `command ls /sys/bus/pci/devices 2> /dev/null
  for word in ${NAMED_DEVICES.join(' ')}; do if [[ -e $word ]]; then word=\${word%/device}; echo "\${word##*/}"; fi; done`,
  drivers: '{ echo none; command ls /sys/bus/pci/drivers; } 2> /dev/null',
  vms: 'find /proc/[0-9]*/fd -maxdepth 1 -lname anon_inode:kvm-vm 2> /dev/null | cut -d / -f 3 | sort -nu',
  cpus: 'command ls -d /sys/devices/system/cpu/cpu[0-9]* 2> /dev/null | sed "s/.*cpu//" | sort -n',
  users: 'cut -d : -f 1 /etc/passwd 2> /dev/null',
};

const valueLines = ({id, flags, argument}: CompletedCommand): string[] => [
  ...flags.flatMap(({names, values}) =>
    values === null ? [] : [`    ${names.map((name) => `'${id} ${name}'`).join('|')}) ${answer(values)} ;;`],
  ),
  ...(argument === null ? [] : [`    '${id} ') ${answer(argument)} ;;`]),
];

const answer = (values: Values): string => {
  switch (values.kind) {
    case 'words':
      return `echo ${quoted(values.words)}`;
    case 'list':
      return `echo ${quoted(['list', ...values.words])}`;
    case 'files':
      return values.source === undefined
        ? `echo ${quoted(['files', ...values.words])}`
        : `echo files $(_kvfio_${values.source})`;
    case 'live':
      return `_kvfio_${values.source}`;
    case 'text':
      return 'return 0';
  }
};

const passing = (commands: readonly CompletedCommand[]): string =>
  commands
    .filter(({passesOn}) => passesOn)
    .map(({id}) => id)
    .join('|') || "''";

const quoted = (words: readonly string[]): string => `'${words.join(' ').replaceAll("'", "'\\''")}'`;
