/** What a VMM's command line says of its VM. */
export interface VmmName {
  /** The program, where kvfio knows it. */
  vmm: Vmm | null;
  /** What the VM is called; null where it was given no name. */
  name: string | null;
  /** The argument that says so. */
  source: string | null;
}

export type Vmm = 'qemu' | 'cloud-hypervisor' | 'firecracker' | 'crosvm' | 'kvfio';

/**
 * The kind of a VMM and the name of its VM, by the command line that it was started with. libvirt and others that
 * start QEMU name the VM with -name.
 *
 * @param comm - name of the process, for one whose command line is not readable as such
 */
export const vmmName = (cmdline: readonly string[], comm: string): VmmName => {
  const [program = '', ...rest] = cmdline;
  const vmm = vmmOf(baseName(program), rest) ?? vmmOf(comm, rest);
  const [name, source] = vmm === null ? [null, null] : (NAMES[vmm](rest) ?? [null, null]);
  return {vmm, name, source};
};

const vmmOf = (program: string, args: readonly string[]): Vmm | null => {
  if (/^(?:qemu(?:-kvm|-system-.*)?|kvm)$/.test(program)) return 'qemu';
  if (/^cloud-hyperviso/.test(program)) return 'cloud-hypervisor'; // a process's name is cut after 15 bytes
  if (/^firecracker/.test(program)) return 'firecracker';
  if (program === 'crosvm') return 'crosvm';
  const isOwn = program === 'kvfio' || args.some((argument) => /(?:^|\/)kvfio$/.test(argument));
  return isOwn ? 'kvfio' : null;
};

type Named = [name: string, source: string] | null;

const NAMES: Record<Vmm, (args: readonly string[]) => Named> = {
  // [guest=]NAME[,debug-threads=on], and QEMU reads a doubled comma as one of the name
  qemu: (args) => {
    const [first, ...others] = splitOptions(valueOf(args, ['-name', '--name']) ?? '');
    const guest = others.find((part) => part.startsWith('guest='));
    const name = (guest ?? first ?? '').replace(/^guest=/, '');
    return named(/^(?:debug-threads|process)=/.test(name) ? '' : name, '-name');
  },
  // it has no names: libvirt and Kata distinguish its VMs by UUID and by socket
  'cloud-hypervisor': (args) => {
    const platform = splitOptions(valueOf(args, ['--platform']) ?? '');
    const uuid = platform.find((part) => part.startsWith('uuid='))?.slice('uuid='.length);
    return named(uuid, '--platform') ?? named(socketName(valueOf(args, ['--api-socket'])), '--api-socket');
  },
  firecracker: (args) => named(valueOf(args, ['--id']), '--id'),
  crosvm: (args) =>
    named(valueOf(args, ['--name']), '--name') ??
    named(socketName(valueOf(args, ['--socket', '-s'])), '--socket'),
  kvfio: (args) => named(valueOf(args, ['--sock']), '--sock'),
};

const named = (name: string | null | undefined, source: string): Named =>
  name == null || name === '' ? null : [name, source];

/** The value of an option, as `--id x` or `--id=x`; the last one counts. */
const valueOf = (args: readonly string[], names: readonly string[]): string | null => {
  let value: string | null = null;
  args.forEach((argument, index) => {
    for (const name of names) {
      if (argument === name) value = args[index + 1] ?? null;
      else if (name.startsWith('--') && argument.startsWith(`${name}=`))
        value = argument.slice(name.length + 1);
    }
  });
  return value;
};

/** Parts of `a=b,c=d`; a doubled comma belongs to the value. */
const splitOptions = (text: string): string[] =>
  (text.match(/(?:[^,]|,,)+/g) ?? []).map((part) => part.replaceAll(',,', ','));

/** `vm7` of `/run/vm7.sock`, of `path=/run/vm7.sock`, and of the folder that Kata makes for `clh-api.sock`. */
const socketName = (value: string | null): string | null => {
  if (value === null) return null;
  const path =
    splitOptions(value)
      .find((part) => !part.includes('=') || part.startsWith('path='))
      ?.replace(/^path=/, '') ?? '';
  const folders = path.split('/').filter(Boolean);
  const file = (folders.at(-1) ?? '').replace(/\.(?:sock|socket)$/, '');
  return file === 'clh-api' ? (folders.at(-2) ?? file) : file;
};

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
