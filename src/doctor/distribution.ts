import {SyscallError} from '../linux/errno.js';
import type {HostTree} from '../linux/host-tree.js';

/** How things are done on a distribution. Each sentence is without a full stop, to follow a "to cure it, …". */
export interface Distribution {
  /** `Debian GNU/Linux 12 (bookworm)`; null where there is no os-release. */
  name: string | null;
  family: Family;
  addParameter: (parameter: string) => string;
  removeParameter: (parameter: string) => string;
  /** Has a user get at what belongs to a group of users. */
  joinGroup: (group: string) => string;
  loadModule: (module: string) => string;
  /** A kernel that has what this one lacks. */
  otherKernel: (option: string) => string;
}

export type Family = 'debian' | 'fedora' | 'suse' | 'arch' | 'alpine' | 'other';

/** Reads /etc/os-release (os-release(5)) and how the machine is booted. */
export const readDistribution = (tree: HostTree): Distribution => {
  const fields = osRelease(tree);
  const family = familyOf([fields.get('ID') ?? '', ...(fields.get('ID_LIKE') ?? '').split(' ')]);
  const loader = loaderOf(tree, family);
  return {
    name: fields.get('PRETTY_NAME') ?? fields.get('ID') ?? null,
    family,
    addParameter: (parameter) => loader(parameter, 'add'),
    removeParameter: (parameter) => loader(parameter, 'remove'),
    joinGroup: (group) =>
      family === 'alpine'
        ? `run "addgroup YOUR-NAME ${group}" as root and log in again`
        : `run "usermod --append --groups ${group} YOUR-NAME" as root and log in again`,
    loadModule: (module) =>
      `run "modprobe ${module}" as root, and for every boot ${
        family === 'alpine'
          ? `"echo ${module} >> /etc/modules"`
          : `"echo ${module} > /etc/modules-load.d/${module}.conf"`
      }`,
    otherKernel: (option) => `use a kernel with ${option}: ${KERNELS[family]}`,
  };
};

const osRelease = (tree: HostTree): Map<string, string> => {
  const texts = ['/etc/os-release', '/usr/lib/os-release'].map((path) => tree.text(path));
  const lines = texts.find((text) => typeof text === 'string')?.split('\n') ?? [];
  return new Map(
    lines.flatMap((line) => {
      const [, key, value] = /^([A-Z_]+)=(.*)$/.exec(line) ?? [];
      return key === undefined || value === undefined ? [] : [[key, value.replace(/^(["'])(.*)\1$/, '$2')]];
    }),
  );
};

const FAMILIES: Record<string, Family> = {
  debian: 'debian',
  ubuntu: 'debian',
  fedora: 'fedora',
  rhel: 'fedora',
  centos: 'fedora',
  suse: 'suse',
  opensuse: 'suse',
  sles: 'suse',
  arch: 'arch',
  alpine: 'alpine',
};

const familyOf = (ids: readonly string[]): Family =>
  ids.map((id) => FAMILIES[id]).find((family) => family !== undefined) ?? 'other';

const KERNELS: Record<Family, string> = {
  debian: 'install linux-image-amd64 or linux-image-arm64; the images named "cloud" leave drivers out',
  fedora: 'install kernel and kernel-modules',
  suse: 'install kernel-default; kernel-default-base leaves drivers out',
  arch: 'install linux or linux-lts',
  alpine: 'install linux-lts; linux-virt leaves drivers out',
  other: "the distribution's usual one for servers",
};

type Edit = (parameter: string, action: 'add' | 'remove') => string;

/** By the state of the machine: which boot loader's settings are there. */
const loaderOf = (tree: HostTree, family: Family): Edit => {
  const exists = (path: string): boolean => !(tree.text(path, 1024 * 1024) instanceof SyscallError);
  const edit =
    (file: string, then: string): Edit =>
    (parameter, action) =>
      `${action} ${parameter} ${action === 'add' ? 'to' : 'from'} ${file}, ${then} and reboot`;
  if (family === 'fedora')
    return (parameter, action) =>
      `run "grubby --update-kernel=ALL --${action === 'add' ? '' : 'remove-'}args=${parameter}" and reboot`;
  const grub = 'GRUB_CMDLINE_LINUX in /etc/default/grub';
  if (exists('/etc/kernel/proxmox-boot-uuids'))
    return edit('/etc/kernel/cmdline', 'run "proxmox-boot-tool refresh"');
  if (exists('/etc/default/grub')) {
    if (family === 'debian') return edit(grub, 'run update-grub');
    const folder = family === 'suse' ? 'grub2' : 'grub';
    return edit(grub, `run "${folder}-mkconfig -o /boot/${folder}/grub.cfg"`);
  }
  if (exists('/etc/kernel/cmdline'))
    return edit('/etc/kernel/cmdline', 'run "kernel-install add" for the kernel');
  return (parameter, action) =>
    `${action} ${parameter} ${action === 'add' ? 'to' : 'from'} the kernel command line in the boot loader's settings and reboot`;
};
