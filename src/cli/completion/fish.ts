import {NAMED_DEVICES, type CompletedCommand, type CompletedFlag, type Source, type Values} from './model.js';

/** The completion of fish, with descriptions; as {@link bashCompletion} it starts no kvfio. */
export const fishCompletion = (
  commands: readonly CompletedCommand[],
): string => `# Completion of kvfio for fish: kvfio completion fish > ~/.config/fish/completions/kvfio.fish

${Object.entries(LIVE)
  .map(([source, body]) => `function __kvfio_${source}\n    ${body}\nend`)
  .join('\n')}

# whether the command is this one, and the line has not gone on to another program
function __kvfio_in
    set -l words (commandline -opc)
    test "$words[2]" = $argv[1]; and not contains -- -- $words
end

function __kvfio_first
    test (count (commandline -opc)) -eq 1
end

# completes the command line of another program behind --
function __kvfio_passed_on
    set -l words (commandline -opc) (commandline -ct)
    set -l at (contains -i -- -- $words); or return
    complete -C (string escape -- $words[(math $at + 1)..-1] | string join ' ')
end

complete -c kvfio -f
complete -c kvfio -n __kvfio_first -s h -l help -d 'show help'
complete -c kvfio -n __kvfio_first -l version -d 'show the version'
${commands.map(({id, summary}) => `complete -c kvfio -n __kvfio_first -a ${quoted(id)} -d ${quoted(summary)}`).join('\n')}
${commands.flatMap(commandLines).join('\n')}
`;

const LIVE: Record<Source, string> = {
  groups: 'command ls /sys/kernel/iommu_groups 2>/dev/null | sort -n',
  devices: `command ls /sys/bus/pci/devices 2>/dev/null
    for path in ${NAMED_DEVICES.join(' ')}
        string replace -r '.*/([^/]+)/device$' '$1' -- $path
    end`,
  sockets:
    'awk \'$4 == "00010000" && NF > 7 {print $8}\' /proc/net/unix 2>/dev/null\n    __fish_complete_path (commandline -ct)',
  drivers: 'echo none; command ls /sys/bus/pci/drivers 2>/dev/null',
  vms: `for pid in (find (string match -r '^/proc/\\d+/fd$' /proc/*/fd) -maxdepth 1 -lname anon_inode:kvm-vm 2>/dev/null | cut -d / -f 3 | sort -nu)
        printf '%s\\t%s\\n' $pid (cat /proc/$pid/comm 2>/dev/null)
    end`,
  // fish has no [0-9] in its patterns
  cpus: `command ls /sys/devices/system/cpu 2>/dev/null | string replace -rf '^cpu(\\d+)$' '$1' | sort -n`,
  users: '__fish_complete_users',
};

const commandLines = ({id, flags, argument, passesOn}: CompletedCommand): string[] => {
  const when = `complete -c kvfio -n ${quoted(`__kvfio_in ${id}`)}`;
  return [
    ...flags.map((flag) => `${when} ${flagSpec(flag)}`),
    ...(argument === null ? [] : [`${when} ${offered(argument)}`]),
    ...(passesOn
      ? [`complete -c kvfio -n 'contains -- -- (commandline -opc)' -a '(__kvfio_passed_on)'`]
      : []),
  ];
};

const flagSpec = ({names, summary, values}: CompletedFlag): string => {
  const spelled = names.map((name) =>
    name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`,
  );
  return `${spelled.join(' ')} -d ${quoted(summary)}${values === null ? '' : ` -r ${offered(values)}`}`;
};

/** What is offered for a value: -f without files beside it, -F with them; -k keeps the order. */
const offered = (values: Values): string => {
  switch (values.kind) {
    case 'words':
      return `-f -k -a ${quoted(values.words.join(' '))}`;
    case 'list':
      return `-f -a ${quoted(`(__fish_append , ${values.words.join(' ')})`)}`;
    case 'files': {
      const words = values.words.length === 0 ? '' : ` -a ${quoted(values.words.join(' '))}`;
      return values.source === undefined ? `-F${words}` : `-f -k -a '(__kvfio_${values.source})'`;
    }
    case 'live':
      return `-f -k -a '(__kvfio_${values.source})'`;
    case 'text':
      return '-f';
  }
};

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
