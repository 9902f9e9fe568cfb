import {SyscallError} from '../linux/errno.js';
import type {HostTree} from '../host/tree.js';
import {readGrub} from './grub.js';

/** How things are done on a distribution. Each sentence is without a full stop, to follow a "to cure it, …". */
export interface Distribution {
  /** `Debian GNU/Linux 12 (bookworm)`; null where there is no os-release. */
  name: string | null;
  family: Family;
  addParameter: (parameter: string) => string;
  removeParameter: (parameter: string) => string;
  replaceParameter: (parameter: string, by: string) => string;
  /** How a user gets the rights of a group of users. */
  joinGroup: (group: string) => string;
  loadModule: (module: string) => string;
  /** A kernel that has what this one lacks. */
  otherKernel: (option: string) => string;
}

/** A cure whose `boot with WORD=VALUE` says how that is done on this distribution. */
export const byBootLoader = ({addParameter}: Pick<Distribution, 'addParameter'>, cure: string): string =>
  cure.replaceAll(/\bboot with ([\w.-]+=[\w.-]+)(?: on the kernel command line)?/g, (_, word: string) =>
    addParameter(word),
  );

export type Family = 'debian' | 'fedora' | 'suse' | 'arch' | 'alpine' | 'other';

/** Reads /etc/os-release (os-release(5)) and how the machine is booted. */
export const readDistribution = (tree: HostTree): Distribution => {
  const fields = osRelease(tree);
  const family = familyOf([fields.get('ID') ?? '', ...(fields.get('ID_LIKE') ?? '').split(' ')]);
  const loader = loaderOf(tree, fields.get('ID') ?? '', family);
  return {
    name: fields.get('PRETTY_NAME') ?? fields.get('ID') ?? null,
    family,
    addParameter: (parameter) => loader({add: parameter}),
    removeParameter: (parameter) => loader({remove: parameter}),
    replaceParameter: (parameter, by) => loader({remove: parameter, add: by}),
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
    otherKernel: (option) =>
      `use a kernel with ${option}: ${KERNELS[family].replace('ARCH', debianName(tree))}`,
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

/** What Debian calls the machine's architecture. */
const debianName = (tree: HostTree): string => {
  const name = tree.text('/proc/sys/kernel/arch');
  const kernel = typeof name === 'string' ? name.trim() : '';
  return {x86_64: 'amd64', aarch64: 'arm64'}[kernel] ?? 'amd64 or linux-image-arm64';
};

const KERNELS: Record<Family, string> = {
  debian: 'install linux-image-ARCH; the images named "cloud" leave drivers out',
  fedora: 'install kernel and kernel-modules',
  suse: 'install kernel-default; kernel-default-base leaves drivers out',
  arch: 'install linux or linux-lts',
  alpine: 'install linux-lts; linux-virt leaves drivers out',
  other: "the distribution's usual one for servers",
};

/** One parameter that goes, one that comes, or both in place of each other. */
interface Change {
  add?: string;
  remove?: string;
}

type Edit = (change: Change) => string;

/** The way to edit the command line, by how the machine was booted and which boot loader's settings are there. */
const loaderOf = (tree: HostTree, id: string, family: Family): Edit => {
  const exists = (path: string): boolean => {
    const answer = tree.inspect(path, () => true);
    return !(answer instanceof SyscallError);
  };
  const booted = bootedBy(tree);
  const appliance = id === 'talos' && booted === 'systemd-boot' ? TALOS_IMAGE : APPLIANCES[id];
  if (appliance !== undefined) return appliance;
  if (exists('/run/ostree-booted') || bootWord(tree, /(?:^|\s)ostree=/))
    return tool('rpm-ostree kargs', '--append-if-missing=', '--delete-if-present=');
  if (family === 'fedora') return tool('grubby --update-kernel=ALL', '--args=', '--remove-args=');
  const isProxmox = exists('/etc/kernel/proxmox-boot-uuids');
  if (isProxmox && booted !== 'grub') return edit('/etc/kernel/cmdline', 'run "proxmox-boot-tool refresh"');
  const settings = booted === 'systemd-boot' ? null : readGrub(tree);
  if (settings !== null) {
    const grub = ({remove}: Change): string =>
      remove === undefined ? settings.placeToAdd : settings.placeOf(remove);
    if (isProxmox) return edit(grub, 'run update-grub and "proxmox-boot-tool refresh"');
    if (family === 'debian') return edit(grub, 'run update-grub');
    if (TRANSACTIONAL.test(id)) return edit(grub, 'run "transactional-update grub.cfg"');
    const folder = family === 'suse' || exists('/boot/grub2') ? 'grub2' : 'grub';
    return edit(grub, `run "${folder}-mkconfig -o /boot/${folder}/grub.cfg"`);
  }
  if (exists('/etc/kernelstub/configuration'))
    return tool('kernelstub', '--add-options ', '--delete-options ');
  if (exists('/etc/kernel/cmdline'))
    return edit(
      '/etc/kernel/cmdline',
      family === 'suse'
        ? 'run "sdbootutil update-all-entries"'
        : family === 'arch' && exists('/etc/mkinitcpio.conf')
          ? 'run "mkinitcpio -P"'
          : 'run "kernel-install add" for the kernel',
    );
  const place = PLACES.find(([path]) => exists(path));
  return place?.[1] ?? edit("the kernel command line in the boot loader's settings", null);
};

/** Systems of SUSE whose root is changed as a whole, by ID of os-release. */
const TRANSACTIONAL = /micro/;

const edit =
  (where: string | ((change: Change) => string), then: string | null): Edit =>
  (change) => {
    const {add, remove} = change;
    const file = typeof where === 'string' ? where : where(change);
    const what =
      add === undefined
        ? `remove ${remove ?? ''} from ${file}`
        : remove === undefined
          ? `add ${add} to ${file}`
          : `put ${add} in place of ${remove} into ${file}`;
    return then === null ? `${what} and reboot` : `${what}, ${then} and reboot`;
  };

const tool =
  (command: string, adding: string, removing: string): Edit =>
  ({add, remove}) =>
    `run "${[command, ...(remove === undefined ? [] : [removing + remove]), ...(add === undefined ? [] : [adding + add])].join(' ')}" and reboot`;

/** Systems whose settings of the boot loader are made from elsewhere, by ID of os-release. */
const APPLIANCES: Record<string, Edit> = {
  nixos: edit('boot.kernelParams of configuration.nix', 'run "nixos-rebuild boot"'),
  talos: edit('machine.install.extraKernelArgs of the machine configuration', 'run "talosctl upgrade"'),
  bottlerocket: edit('settings.boot.kernel-parameters of the user data', null),
  flatcar: edit('linux_append in /oem/grub.cfg', null),
  guix: edit('kernel-arguments of the operating-system declaration', 'run "guix system reconfigure"'),
};

/** Booted by systemd-boot, it has the command line in its image, and does not look at that of the configuration. */
const TALOS_IMAGE = edit(
  'customization.extraKernelArgs of the schematic of its image',
  'run "talosctl upgrade" with the image that the Image Factory makes of it',
);

/** Where other boot loaders have the command line, by what is there. */
const PLACES: readonly (readonly [path: string, edit: Edit])[] = [
  [
    '/etc/update-extlinux.conf',
    edit('default_kernel_opts in /etc/update-extlinux.conf', 'run update-extlinux'),
  ],
  ['/etc/default/u-boot', edit('U_BOOT_PARAMETERS in /etc/default/u-boot', 'run u-boot-update')],
  ['/etc/default/limine', edit('KERNEL_CMDLINE in /etc/default/limine', 'run limine-update')],
  ['/boot/firmware/cmdline.txt', edit('/boot/firmware/cmdline.txt', null)],
  ['/boot/cmdline.txt', edit('/boot/cmdline.txt', null)],
  ['/boot/syslinux/syslinux.cfg', edit('the append line of /boot/syslinux/syslinux.cfg', null)],
  ['/boot/extlinux/extlinux.conf', edit('the append line of /boot/extlinux/extlinux.conf', null)],
  ['/boot/refind_linux.conf', edit('/boot/refind_linux.conf', null)],
  ['/boot/loader/entries', edit('the options line of the entry in /boot/loader/entries', null)],
];

/** What loaded the running kernel, by what each leaves behind; null when nothing says so. */
const bootedBy = (tree: HostTree): 'grub' | 'systemd-boot' | null => {
  // UTF-16 behind four bytes of attributes (systemd, "The Boot Loader Interface")
  const info = tree.inspect(LOADER_INFO, (at) => at(4, 256).toString('utf16le'));
  if (typeof info === 'string' && /^GRUB/i.test(info)) return 'grub';
  if (typeof info === 'string' && /^systemd-boot/.test(info)) return 'systemd-boot';
  if (bootWord(tree, /(?:^|\s)BOOT_IMAGE=/)) return 'grub';
  return bootWord(tree, /(?:^|\s)initrd=\\/) ? 'systemd-boot' : null;
};

/** Whether the running kernel's command line has it. */
const bootWord = (tree: HostTree, pattern: RegExp): boolean => {
  const line = tree.text('/proc/cmdline');
  return typeof line === 'string' && pattern.test(line);
};

const LOADER_INFO = '/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f';
