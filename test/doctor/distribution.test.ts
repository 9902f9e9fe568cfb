import assert from 'node:assert/strict';
import {mkdirSync, writeFileSync} from 'node:fs';
import {dirname} from 'node:path';
import {readDistribution} from '../../src/doctor/distribution.js';
import {DirectoryTree} from '../../src/linux/directory-tree.js';
import {machine} from '../support/machine.js';

const TABLE: readonly (readonly [string, Record<string, string>, string, RegExp, RegExp])[] = [
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
  ['none', {}, 'other', /boot loader/, /servers/],
];

describe('the remedies of a distribution', () => {
  for (const [name, files, family, parameter, kernel] of TABLE) {
    it(`are those of ${name}`, () => {
      using made = machine();
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(made.path(path)), {recursive: true});
        writeFileSync(made.path(path), text);
      }
      const distribution = readDistribution(new DirectoryTree(made.root));
      assert.equal(distribution.family, family);
      assert.match(distribution.addParameter('a=b'), parameter);
      assert.match(distribution.removeParameter('a=b'), /remove/);
      assert.match(distribution.otherKernel('CONFIG_X'), kernel);
      assert.match(distribution.joinGroup('kvm'), family === 'alpine' ? /addgroup/ : /usermod/);
      assert.match(distribution.loadModule('vfio-pci'), /modprobe vfio-pci/);
    });
  }
});
