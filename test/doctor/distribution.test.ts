import assert from 'node:assert/strict';
import {mkdirSync, writeFileSync} from 'node:fs';
import {dirname} from 'node:path';
import {readDistribution} from '../../src/doctor/distribution.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {machine} from '../support/machine.js';

const LOADER_INFO = 'sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f';

const loaderInfo = (name: string): Buffer =>
  Buffer.concat([Buffer.from([6, 0, 0, 0]), Buffer.from(`${name}\0`, 'utf16le')]);

const TABLE: readonly (readonly [string, Record<string, string | Buffer>, string, RegExp, RegExp])[] = [
  [
    'Debian',
    {'etc/os-release': 'ID=debian\n', 'etc/default/grub': 'x'},
    'debian',
    /update-grub/,
    /linux-image/,
  ],
  [
    'Ubuntu',
    {'etc/os-release': 'ID=ubuntu\nID_LIKE=debian\n', 'etc/default/grub': 'x'},
    'debian',
    /update-grub/,
    /linux-image/,
  ],
  [
    'Proxmox',
    {'etc/os-release': "ID='debian'\n", 'etc/kernel/proxmox-boot-uuids': 'x', 'etc/default/grub': 'x'},
    'debian',
    /\/etc\/kernel\/cmdline, run "proxmox-boot-tool refresh"/,
    /linux-image/,
  ],
  [
    'Proxmox that GRUB has booted',
    {
      'etc/os-release': 'ID=debian\n',
      'etc/kernel/proxmox-boot-uuids': 'x',
      'etc/default/grub': 'x',
      'proc/cmdline': 'BOOT_IMAGE=/vmlinuz root=ZFS=rpool/ROOT/pve-1\n',
    },
    'debian',
    /GRUB_CMDLINE_LINUX in \/etc\/default\/grub, run update-grub and "proxmox-boot-tool refresh"/,
    /linux-image/,
  ],
  [
    'Debian that systemd-boot has booted, by its EFI variable',
    {
      'etc/os-release': 'ID=debian\n',
      'etc/default/grub': 'x',
      'etc/kernel/cmdline': 'x',
      [LOADER_INFO]: loaderInfo('systemd-boot 252'),
    },
    'debian',
    /\/etc\/kernel\/cmdline, run "kernel-install add"/,
    /linux-image/,
  ],
  [
    'Fedora of ostree',
    {'etc/os-release': 'ID=fedora\n', 'run/ostree-booted': ''},
    'fedora',
    /rpm-ostree kargs --append-if-missing=a=b/,
    /kernel-modules/,
  ],
  [
    'Fedora of ostree, of which only the command line shows it',
    {
      'etc/os-release': 'ID=fedora\n',
      'proc/cmdline': 'BOOT_IMAGE=/ostree/x ostree=/ostree/boot.0/fedora/x/0\n',
    },
    'fedora',
    /rpm-ostree kargs --append-if-missing=a=b/,
    /kernel-modules/,
  ],
  [
    'openEuler, whose GRUB is in grub2',
    {'etc/os-release': 'ID="openEuler"\n', 'etc/default/grub': 'x', 'boot/grub2/grub.cfg': 'x'},
    'other',
    /run "grub2-mkconfig -o \/boot\/grub2\/grub.cfg"/,
    /servers/,
  ],
  [
    'Arch whose mkinitcpio makes the image',
    {'etc/os-release': 'ID=arch\n', 'etc/kernel/cmdline': 'x', 'etc/mkinitcpio.conf': 'x'},
    'arch',
    /\/etc\/kernel\/cmdline, run "mkinitcpio -P"/,
    /linux-lts/,
  ],
  [
    'Pop!_OS that systemd-boot has booted',
    {
      'etc/os-release': 'ID=pop\nID_LIKE="ubuntu debian"\n',
      'etc/default/grub': 'x',
      'etc/kernelstub/configuration': 'x',
      'proc/cmdline': 'initrd=\\EFI\\Pop_OS-x\\initrd.img root=UUID=x\n',
    },
    'debian',
    /run "kernelstub --add-options a=b"/,
    /linux-image/,
  ],
  [
    'Talos whose image systemd-boot has booted',
    {'etc/os-release': 'ID=talos\n', [LOADER_INFO]: loaderInfo('systemd-boot 257')},
    'other',
    /customization.extraKernelArgs of the schematic/,
    /servers/,
  ],
  [
    'Guix',
    {'etc/os-release': 'ID=guix\n'},
    'other',
    /kernel-arguments .* "guix system reconfigure"/,
    /servers/,
  ],
  ['NixOS', {'etc/os-release': 'ID=nixos\n'}, 'other', /boot.kernelParams/, /servers/],
  ['Talos', {'etc/os-release': 'ID=talos\n'}, 'other', /extraKernelArgs/, /servers/],
  [
    'Rocky',
    {'etc/os-release': 'ID="rocky"\nID_LIKE="rhel centos fedora"\n'},
    'fedora',
    /grubby .*--args=a=b/,
    /kernel-modules/,
  ],
  [
    'openSUSE',
    {'usr/lib/os-release': 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', 'etc/default/grub': 'x'},
    'suse',
    /grub2-mkconfig/,
    /kernel-default/,
  ],
  ['Arch', {'etc/os-release': 'ID=arch\n', 'etc/kernel/cmdline': 'x'}, 'arch', /kernel-install/, /linux-lts/],
  ['Alpine', {'etc/os-release': 'ID=alpine\n'}, 'alpine', /boot loader/, /linux-virt/],
  ['one that nobody knows', {'etc/os-release': 'ID=mine\n'}, 'other', /boot loader/, /servers/],
  [
    'openSUSE that systemd-boot has booted',
    {'etc/os-release': 'ID=opensuse-tumbleweed\nID_LIKE="opensuse suse"\n', 'etc/kernel/cmdline': 'x'},
    'suse',
    /\/etc\/kernel\/cmdline, run "sdbootutil update-all-entries"/,
    /kernel-default/,
  ],
  [
    'openSUSE MicroOS',
    {'etc/os-release': 'ID=opensuse-microos\nID_LIKE="suse opensuse"\n', 'etc/default/grub': 'x'},
    'suse',
    /run "transactional-update grub.cfg"/,
    /kernel-default/,
  ],
  [
    'Bottlerocket',
    {'etc/os-release': 'ID=bottlerocket\n'},
    'other',
    /settings.boot.kernel-parameters/,
    /servers/,
  ],
  ...(
    [
      ['etc/update-extlinux.conf', /default_kernel_opts in \/etc\/update-extlinux.conf, run update-extlinux/],
      ['etc/default/u-boot', /U_BOOT_PARAMETERS in \/etc\/default\/u-boot, run u-boot-update/],
      ['etc/default/limine', /KERNEL_CMDLINE in \/etc\/default\/limine, run limine-update/],
      ['boot/firmware/cmdline.txt', /a=b to \/boot\/firmware\/cmdline.txt and reboot/],
      ['boot/cmdline.txt', /a=b to \/boot\/cmdline.txt and reboot/],
      ['boot/syslinux/syslinux.cfg', /append line of \/boot\/syslinux/],
      ['boot/extlinux/extlinux.conf', /append line of \/boot\/extlinux/],
      ['boot/refind_linux.conf', /a=b to \/boot\/refind_linux.conf/],
      ['boot/loader/entries/arch.conf', /options line of the entry in \/boot\/loader\/entries/],
    ] as const
  ).map(([path, parameter]): (typeof TABLE)[number] => [
    `a system with ${path}`,
    {'etc/os-release': 'ID=mine\n', [path]: 'x'},
    'other',
    parameter,
    /servers/,
  ]),
  ['none', {}, 'other', /boot loader/, /servers/],
];

describe('the settings of GRUB', () => {
  const remedies = (files: Record<string, string>): {added: string; removed: string; replaced: string} => {
    using made = machine({commandLine: 'BOOT_IMAGE=/vmlinuz ro quiet'});
    for (const [path, text] of Object.entries({'etc/os-release': 'ID=debian\n', ...files})) {
      mkdirSync(dirname(made.path(path)), {recursive: true});
      writeFileSync(made.path(path), text);
    }
    const {addParameter, removeParameter, replaceParameter} = readDistribution(new DirectoryTree(made.root));
    return {
      added: addParameter('a=b'),
      removed: removeParameter('intremap=off'),
      replaced: replaceParameter('intel_iommu=igfx_off', 'intel_iommu=on'),
    };
  };
  const MAIN = 'etc/default/grub';
  const CLOUD = 'etc/default/grub.d/50-cloudimg-settings.cfg';

  it('are changed in the variable that has the word, for every entry where it is added', () => {
    const {added, removed, replaced} = remedies({
      [MAIN]:
        '# GRUB_CMDLINE_LINUX_DEFAULT="intremap=off"\nGRUB_CMDLINE_LINUX_DEFAULT="quiet intremap=off"\nGRUB_CMDLINE_LINUX=\'intel_iommu=igfx_off\'\n',
    });
    assert.equal(added, 'add a=b to GRUB_CMDLINE_LINUX in /etc/default/grub, run update-grub and reboot');
    assert.match(
      removed,
      /^remove intremap=off from GRUB_CMDLINE_LINUX_DEFAULT in \/etc\/default\/grub, run/,
    );
    assert.match(replaced, / into GRUB_CMDLINE_LINUX in \/etc\/default\/grub, run/);
  });

  it('are those of a later file that has the word, or replaces what the first says', () => {
    const {added, removed} = remedies({
      [MAIN]: 'GRUB_CMDLINE_LINUX="quiet"\n',
      [CLOUD]: 'GRUB_CMDLINE_LINUX="console=ttyS0 intremap=off"\n',
      'etc/default/grub.d/README': 'GRUB_CMDLINE_LINUX="intremap=off"\n',
    });
    assert.match(
      added,
      /^add a=b to GRUB_CMDLINE_LINUX in \/etc\/default\/grub\.d\/50-cloudimg-settings\.cfg, run/,
    );
    assert.match(
      removed,
      /^remove intremap=off from GRUB_CMDLINE_LINUX in \/etc\/default\/grub\.d\/50-cloudimg/,
    );
    const {added: kept} = remedies({
      [MAIN]: 'GRUB_CMDLINE_LINUX="quiet"\n',
      [CLOUD]: 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX console=ttyS0"\n',
    });
    assert.match(kept, /^add a=b to GRUB_CMDLINE_LINUX in \/etc\/default\/grub, run/);
  });

  it('are named both where a word shows in neither, and all that have it', () => {
    assert.match(
      remedies({[MAIN]: 'GRUB_CMDLINE_LINUX="nointremap=off intremap=off,nosid"\n'}).removed,
      /^remove intremap=off from GRUB_CMDLINE_LINUX or GRUB_CMDLINE_LINUX_DEFAULT in \/etc\/default\/grub, whichever has it, run update-grub/,
    );
    assert.match(
      remedies({[MAIN]: 'GRUB_CMDLINE_LINUX=intremap=off\nGRUB_CMDLINE_LINUX_DEFAULT="intremap=off"\n'})
        .removed,
      /^remove intremap=off from GRUB_CMDLINE_LINUX in \S+ and GRUB_CMDLINE_LINUX_DEFAULT in /,
    );
  });
});

describe('the remedies of a distribution', () => {
  for (const [name, files, family, parameter, kernel] of TABLE) {
    it(`are those of ${name}`, () => {
      using made = machine({commandLine: 'ro quiet'});
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(made.path(path)), {recursive: true});
        writeFileSync(made.path(path), text);
      }
      const distribution = readDistribution(new DirectoryTree(made.root));
      assert.equal(distribution.family, family);
      assert.match(distribution.addParameter('a=b'), parameter);
      assert.match(distribution.removeParameter('a=b'), /remove|delete/);
      const both = distribution.replaceParameter('a=b', 'a=c');
      assert.ok(both.includes('a=b') && both.includes('a=c'), both);
      assert.match(distribution.otherKernel('CONFIG_X'), kernel);
      assert.match(distribution.joinGroup('kvm'), family === 'alpine' ? /addgroup/ : /usermod/);
      assert.match(distribution.loadModule('vfio-pci'), /modprobe vfio-pci/);
    });
  }
});
