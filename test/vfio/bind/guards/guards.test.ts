import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {closeSync, constants, openSync, readdirSync, readFileSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import {readHost} from '../../../../src/iommu/host.js';
import {DirectoryTree} from '../../../../src/host/directory-tree.js';
import type {SyscallError} from '../../../../src/linux/errno.js';
import type {InterfaceAddress} from '../../../../src/linux/socket/interface-addresses.js';
import {findings} from '../../../../src/vfio/bind/guards/guards.js';
import {readMounts} from '../../../../src/vfio/bind/guards/mounts.js';
import {readOpenNodes} from '../../../../src/vfio/holders.js';
import {machine, pci, type DeviceSpec, type Machine} from '../../../support/machine.js';
import {ownNode} from '../../../support/own-node.js';
import {skip} from '../../../support/skip.js';

const DISK = '0000:01:00.0';
const FOLDER = `sys/devices/pci0000:01/${DISK}`;

/** A machine with these devices, each in a group of its own. */
const withDevices = (...devices: DeviceSpec[]): Machine =>
  machine({groups: Object.fromEntries(devices.map((device, index) => [index, [device]]))});

const nvme = (): Machine => withDevices(pci(DISK, {classCode: '010802', driver: 'nvme'}));

interface Asking {
  only?: string[];
  addresses?: InterfaceAddress[];
  /** As on the machine that the files are of. */
  live?: boolean;
  passive?: boolean;
  doubt?: (doubt: string) => void;
  /** How many processes may not be looked into. */
  hidden?: number;
}

/** What the guards find about some of a machine's devices, each as `GUARD: WHAT`. */
const found = (
  {root}: Machine,
  {only, addresses = [], live = false, passive = false, doubt = () => undefined, hidden = 0}: Asking = {},
): string[] => {
  const tree = new DirectoryTree(root);
  const host = readHost(tree);
  const allDevices = host.groups.flatMap(({devices}) => devices);
  return findings({
    tree,
    devices: allDevices.filter(({address}) => only?.includes(address) ?? true),
    groups: host.groups,
    allDevices,
    addresses: () => addresses,
    live,
    passive,
    doubt: ({code, message}) => {
      doubt(`${code} ${message}`);
    },
    openNodes: () => ({...readOpenNodes(), hidden}),
  }).map(({guard, found: what}) => `${guard}: ${what}`);
};

/** A block device of this machine that nothing is done to, opened. */
const openable = (): {fd: number; name: string; number: string} | null => {
  for (const name of readdirSync('/sys/class/block').filter((each) => each.startsWith('loop'))) {
    if (readFileSync(`/sys/class/block/${name}/size`, 'utf8').trim() !== '0') continue;
    try {
      const fd = openSync(`/dev/${name}`, constants.O_RDONLY | constants.O_NONBLOCK);
      return {fd, name, number: readFileSync(`/sys/class/block/${name}/dev`, 'utf8').trim()};
    } catch {
      // in a container, or not root
    }
  }
  return null;
};

/** The process that a child of ours has not waited for; null until there is one. */
const zombieOf = (parent: number): number | null => {
  const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim();
  const [pid] = children === '' ? [] : children.split(' ').map(Number);
  if (pid === undefined) return null;
  return / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')) ? pid : null;
};

const waitFor = async <T>(look: () => T | null): Promise<T> => {
  for (;;) {
    const found = look();
    if (found !== null) return found;
    await sleep(10);
  }
};

let minor = 0;

/** A block device with its class entry. */
const block = (files: Machine, path: string, holders: string[] = []): string => {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const number = `259:${minor++}`;
  files.write(`${path}/dev`, `${number}\n`);
  files.write(`${path}/size`, '131072\n');
  files.link(`sys/class/block/${name}`, path);
  for (const holder of holders)
    files.link(`${path}/holders/${holder}`, `sys/devices/virtual/block/${holder}`);
  return number;
};

const mapping = (files: Machine, name: string, mapped: string, holders: string[] = []): string => {
  files.write(`sys/devices/virtual/block/${name}/dm/name`, `${mapped}\n`);
  return block(files, `sys/devices/virtual/block/${name}`, holders);
};

const mounts = (
  files: Machine,
  ...lines: [number: string, point: string, type: string, source: string][]
) => {
  files.write(
    'proc/self/mountinfo',
    lines
      .map(
        ([number, point, type, source], index) =>
          `${index + 30} 1 ${number} / ${point} rw,relatime shared:1 master:2 - ${type} ${source} rw\n`,
      )
      .join(''),
  );
};

describe('guards', () => {
  it('do not take a process that has ended for one that hides its mounts', async () => {
    const child = spawn('sh', ['-c', 'sleep 0 & exec sleep 100'], {stdio: 'ignore'});
    try {
      const zombie = await waitFor(() => zombieOf(child.pid ?? 0));
      assert.throws(() => readFileSync(`/proc/${zombie}/mountinfo`), /EINVAL/);
      assert.ok(readMounts(new DirectoryTree()).length > 0);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('find nothing about a disk that nobody uses', () => {
    using files = nvme();
    block(files, `${FOLDER}/nvme/nvme0/nvme0n1`);
    block(files, `${FOLDER}/nvme/nvme0/nvme0n1/nvme0n1p1`);
    mounts(files, ['8:1', '/', 'ext4', '/dev/sda1'], ['0:5', '/dev', 'devtmpfs', 'udev']);
    assert.deepEqual(found(files), []);
  });

  describe('of file systems', () => {
    it('find a mounted partition, whatever it was mounted by', () => {
      using files = nvme();
      block(files, `${FOLDER}/nvme/nvme0/nvme0n1`);
      const number = block(files, `${FOLDER}/nvme/nvme0/nvme0n1/nvme0n1p1`);
      mounts(files, [number, '/mnt/a\\040b', 'ext4', '/dev/disk/by-uuid/1234']);
      assert.deepEqual(found(files), ['mounted: nvme0n1p1 is mounted at /mnt/a b']);
    });

    it('find every namespace of a controller', () => {
      using files = nvme();
      const numbers = [1, 2, 3].map((id) => block(files, `${FOLDER}/nvme/nvme0/nvme0n${id}`));
      mounts(files, [numbers[0] ?? '', '/one', 'xfs', 'x'], [numbers[2] ?? '', '/three', 'xfs', 'x']);
      assert.deepEqual(found(files), [
        'mounted: nvme0n1 is mounted at /one',
        'mounted: nvme0n3 is mounted at /three',
      ]);
    });

    it('find the namespace of a controller that is one of several paths to it', () => {
      using files = nvme();
      const subsystem = 'sys/devices/virtual/nvme-subsystem/nvme-subsys0';
      files.write(`${FOLDER}/nvme/nvme0/state`, 'live\n');
      files.link(`${subsystem}/nvme0`, `${FOLDER}/nvme/nvme0`);
      files.link(`${subsystem}/nvme1`, 'sys/devices/pci0000:02/0000:02:00.0/nvme/nvme1');
      block(files, `${FOLDER}/nvme/nvme0/nvme0c0n1`);
      block(files, `${subsystem}/nvme0n1`);
      const number = block(files, `${subsystem}/nvme0n1/nvme0n1p1`);
      mounts(files, [number, '/srv', 'ext4', '/dev/nvme0n1p1']);
      assert.deepEqual(found(files), ['mounted: nvme0n1p1 is mounted at /srv']);
    });

    it('find a file system on an encrypted volume of a volume group', () => {
      using files = nvme();
      block(files, `${FOLDER}/nvme/nvme0/nvme0n1`);
      block(files, `${FOLDER}/nvme/nvme0/nvme0n1/nvme0n1p3`, ['dm-0']);
      mapping(files, 'dm-0', 'crypt', ['dm-1']);
      const root = mapping(files, 'dm-1', 'vg-root');
      mounts(files, [root, '/', 'ext4', '/dev/mapper/vg-root']);
      assert.deepEqual(found(files), [
        'mounted: dm-1 (vg-root) on dm-0 (crypt) on nvme0n1p3 is mounted at /',
        'storage: nvme0n1p3 carries dm-0',
        'storage: dm-0 (crypt) on nvme0n1p3 carries dm-1',
      ]);
    });

    it('find a partition of an array of which it has a half', () => {
      using files = nvme();
      block(files, `${FOLDER}/nvme/nvme0/nvme0n1`, ['md127']);
      block(files, 'sys/devices/virtual/block/md127');
      const number = block(files, 'sys/devices/virtual/block/md127/md127p1');
      mounts(files, [number, '/home', 'ext4', '/dev/md127p1']);
      assert.deepEqual(found(files), [
        'mounted: md127p1 on nvme0n1 is mounted at /home',
        'storage: nvme0n1 carries md127',
      ]);
    });

    it('find a btrfs of several devices of which another one was named', () => {
      using files = nvme();
      block(files, `${FOLDER}/nvme/nvme0/nvme0n1`);
      for (const name of ['sda', 'nvme0n1']) files.write(`sys/fs/btrfs/1234/devices/${name}/x`, '');
      files.write('sys/fs/btrfs/features/x', '');
      mounts(files, ['0:44', '/data', 'btrfs', '/dev/sda']);
      assert.deepEqual(found(files), ['mounted: nvme0n1 is mounted at /data']);
    });

    it('find a loop device on a disk', () => {
      using files = nvme();
      block(files, `${FOLDER}/nvme/nvme0/nvme0n1`);
      files.write('sys/devices/virtual/block/loop0/loop/backing_file', '/dev/nvme0n1\n');
      const number = block(files, 'sys/devices/virtual/block/loop0');
      mounts(files, [number, '/mnt', 'iso9660', '/dev/loop0']);
      assert.deepEqual(found(files), ['mounted: loop0 on nvme0n1 is mounted at /mnt']);
    });

    it('find the disk of a USB stick below its controller', () => {
      using files = withDevices(pci(DISK, {classCode: '0c0330', driver: 'xhci_hcd'}));
      const number = block(files, `${FOLDER}/usb1/1-1/1-1:1.0/host0/target0:0:0/0:0:0:0/block/sdb/sdb1`);
      mounts(files, [number, '/media/stick', 'vfat', '/dev/sdb1']);
      assert.deepEqual(found(files), ['mounted: sdb1 is mounted at /media/stick']);
    });

    it('are not sure when mounts cannot be read', () => {
      using files = nvme();
      block(files, `${FOLDER}/nvme/nvme0/nvme0n1`);
      files.write('proc/self/mountinfo/not-a-file', '');
      assert.match(found(files).join(), /mounted: kvfio cannot determine whether it may be taken .*EISDIR/);
    });
  });

  describe('of swap and pools', () => {
    it('find swap space on a partition and on a volume', () => {
      using files = nvme();
      block(files, `${FOLDER}/nvme/nvme0/nvme0n1`);
      block(files, `${FOLDER}/nvme/nvme0/nvme0n1/nvme0n1p2`);
      block(files, `${FOLDER}/nvme/nvme0/nvme0n1/nvme0n1p3`, ['dm-7']);
      mapping(files, 'dm-7', 'vg-swap');
      files.write(
        'proc/swaps',
        'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/nvme0n1p2                          partition\t7812092\t\t0\t\t-2\n/dev/dm-7  partition 1 0 -3\n/swapfile file 1 0 -4\n',
      );
      assert.deepEqual(found(files), [
        'swap: nvme0n1p2 is swap space in use',
        'swap: dm-7 (vg-swap) on nvme0n1p3 is swap space in use',
        'storage: nvme0n1p3 carries dm-7',
      ]);
    });

    it('find a member that is not active by what udev says of it', () => {
      using files = nvme();
      const number = block(files, `${FOLDER}/nvme/nvme0/nvme0n1`);
      files.write(`run/udev/data/b${number}`, 'S:disk/by-id/x\nE:ID_FS_TYPE=zfs_member\n');
      assert.deepEqual(found(files), ['storage: nvme0n1 is a member of zfs (udev)']);
    });

    it('find a member without udev by its first bytes', () => {
      using files = nvme();
      block(files, `${FOLDER}/nvme/nvme0/nvme0n1`);
      const bytes = Buffer.alloc(4096);
      bytes.write('LABELONE', 512);
      bytes.write('LVM2 001', 512 + 24);
      files.write('dev/nvme0n1', bytes);
      assert.deepEqual(found(files), ['storage: nvme0n1 is a member of LVM']);
    });
  });

  describe('of what only the live machine tells', () => {
    /** A block device that no machine has under /dev. */
    const nowhere = (files: Machine, bytes: Buffer | null): void => {
      block(files, `${FOLDER}/nvme/nvme0/kvfio0n1`);
      if (bytes !== null) files.write('dev/kvfio0n1', bytes);
    };

    it('refuse a disk that cannot be asked', () => {
      for (const bytes of [null, Buffer.alloc(4096)]) {
        using files = nvme();
        nowhere(files, bytes);
        assert.deepEqual(found(files, {live: true}), [
          'storage: kvfio cannot determine whether kvfio0n1 is free (open /dev/kvfio0n1: ENOENT)',
        ]);
      }
    });

    it('ask nothing of a path to a namespace, which has no node', () => {
      using files = nvme();
      files.link('sys/class/block/nvme0c0n1', `${FOLDER}/nvme/nvme0/nvme0c0n1`);
      files.write(`${FOLDER}/nvme/nvme0/nvme0c0n1/size`, '131072\n');
      assert.deepEqual(found(files, {live: true}), []);
    });

    it('open nothing in a dry run, and say what they did not ask', () => {
      using files = nvme();
      nowhere(files, null);
      files.write('sys/class/vfio/0/dev', '4095:1\n');
      const doubts: string[] = [];
      const doubt = (what: string): void => void doubts.push(what);
      assert.deepEqual(found(files, {live: true, passive: true, doubt}), []);
      assert.deepEqual(doubts, [
        'NOT_ASKED a dry run opens no disk, so kvfio did not check whether kvfio0n1 is in exclusive use, or is a member of a pool or array that udev does not know',
        'NOT_ASKED a dry run opens no group, so kvfio did not check whether a process that does not show in /proc holds group 0',
      ]);
    });

    it('name the process that has a disk open, also in a dry run', function () {
      const node = openable();
      if (node === null) return skip(this, 'this machine has no loop device that can be opened');
      using files = nvme();
      const {fd, name, number} = node;
      try {
        block(files, `${FOLDER}/nvme/nvme0/${name}`);
        files.write(`${FOLDER}/nvme/nvme0/${name}/dev`, `${number}\n`);
        files.write(`dev/${name}`, Buffer.alloc(4096));
        const comm = readFileSync('/proc/self/comm', 'utf8').trim();
        for (const passive of [true, false])
          assert.deepEqual(found(files, {live: true, passive}), [
            `storage: ${name} is open in process ${process.pid} (${comm})`,
          ]);
      } finally {
        closeSync(fd);
      }
      assert.deepEqual(found(files, {live: true}), []);
      assert.deepEqual(found(files, {live: true, hidden: 2}), [
        `storage: kvfio may not look into 2 processes, any of which may have ${name} open`,
      ]);
    });

    it('name the process that has a character device open, by which it commands a disk, a display or RDMA', () => {
      using own = ownNode();
      using other = ownNode();
      const fds = [own, other].map(({path}) => openSync(path, constants.O_RDONLY));
      try {
        const comm = readFileSync('/proc/self/comm', 'utf8').trim();
        for (const [guard, kind, name] of [
          ['storage', 'nvme', 'nvme0'],
          ['storage', 'scsi_generic', 'sg0'],
          ['display', 'drm', 'dri/card0'],
          ['network', 'infiniband_verbs', 'infiniband/uverbs0'],
        ] as const) {
          using files = withDevices(
            pci(DISK, {classCode: '010802'}),
            pci('0000:02:00.0', {classCode: '010802'}),
          );
          const node = (path: string, number: string): void => {
            files.write(`${path}/uevent`, `MAJOR=1\nDEVNAME=${name}\n`);
            files.link(`${path}/subsystem`, `sys/class/${kind}`);
            files.link(`sys/dev/char/${number}`, path);
          };
          node(`${FOLDER}/${kind}/a`, own.number);
          // one that nobody has open, and one of another device
          node(`${FOLDER}/${kind}/b`, '4095:7');
          node('sys/devices/virtual/c', other.number);
          for (const passive of [true, false]) {
            assert.deepEqual(found(files, {live: true, passive}), [
              `${guard}: /dev/${name} is open in process ${process.pid} (${comm})`,
            ]);
          }
          assert.deepEqual(found(files), []);
        }
      } finally {
        for (const fd of fds) closeSync(fd);
      }
    });

    /** A node below a device by its class, number and name. */
    const node = (files: Machine, path: string, [kind, number, name]: [string, string, string]): void => {
      files.write(`${path}/uevent`, `MAJOR=1\nDEVNAME=${name}\n`);
      files.link(`${path}/subsystem`, `sys/class/${kind}`);
      files.link(`sys/dev/char/${number}`, path);
    };

    /** What is found for real, and what a dry run doubts, with so many processes that may not be looked into. */
    const unseen = (files: Machine, hidden: number): {refused: string[]; doubted: string[]} => {
      const doubted: string[] = [];
      const doubt = (what: string): void => {
        if (what.startsWith('NOT_SEEN')) doubted.push(what);
      };
      assert.deepEqual(found(files, {live: true, passive: true, hidden, doubt}), []);
      assert.equal(doubted.length > 0, hidden > 0);
      return {refused: found(files, {live: true, hidden}), doubted};
    };

    it('cannot tell who has a node open where processes may not be looked into', () => {
      for (const [guard, kind, name] of [
        ['storage', 'nvme', 'nvme0'],
        ['display', 'drm', 'dri/card0'],
        ['network', 'infiniband_mad', 'infiniband/umad0'],
      ] as const) {
        using files = nvme();
        node(files, `${FOLDER}/${kind}/a`, [kind, '4095:7', name]);
        assert.deepEqual(unseen(files, 0), {refused: [], doubted: []});
        const one = `kvfio may not look into a process, which may have /dev/${name} open`;
        assert.deepEqual(unseen(files, 1), {refused: [`${guard}: ${one}`], doubted: [`NOT_SEEN ${one}`]});
        node(files, `${FOLDER}/${kind}/b`, [kind, '4095:8', 'b']);
        node(files, `${FOLDER}/${kind}/c`, [kind, '4095:9', 'c']);
        const many = `kvfio may not look into 12 processes, any of which may have /dev/${name}, /dev/b or /dev/c open`;
        assert.deepEqual(unseen(files, 12), {refused: [`${guard}: ${many}`], doubted: [`NOT_SEEN ${many}`]});
      }
    });

    it('name at most eight of the nodes that they cannot tell about', () => {
      using files = nvme();
      for (const index of Array.from({length: 10}, (_, each) => each))
        node(files, `${FOLDER}/nvme/${index}`, ['nvme', `4095:${index}`, `n${index}`]);
      assert.match(unseen(files, 2).refused.join(), /have \/dev\/n0, .*, \/dev\/n7 or 2 more open$/);
    });

    it('cannot tell who has a disk open where processes may not be looked into', () => {
      using files = nvme();
      nowhere(files, null);
      const one = 'kvfio may not look into 3 processes, any of which may have kvfio0n1 open';
      const doubts: string[] = [];
      const doubt = (what: string): void => void doubts.push(what);
      assert.deepEqual(found(files, {live: true, passive: true, hidden: 3, doubt}), []);
      assert.ok(doubts.includes(`NOT_SEEN ${one}`), doubts.join('\n'));
    });

    it('cannot tell who has a device of a group open where processes may not be looked into', () => {
      using files = withDevices(pci(DISK, {classCode: '010802', driver: 'vfio-pci'}));
      files.write(`${FOLDER}/vfio-dev/vfio0/dev`, '4095:3\n');
      const one = 'kvfio may not look into a process, which may have a device of group 0 open';
      assert.deepEqual(unseen(files, 1), {refused: [`held: ${one}`], doubted: [`NOT_SEEN ${one}`]});
      // nor the group itself, whose node is not in this /dev
      files.write('sys/class/vfio/0/dev', '4095:1\n');
      assert.match(
        found(files, {live: true, hidden: 1}).join(),
        /may have group 0 or a device of group 0 open/,
      );
      assert.deepEqual(found(files, {live: true}), []);
    });

    it('doubt nothing of a device that has nothing to be opened', () => {
      using files = withDevices(pci(DISK, {classCode: '010802', driver: 'nvme'}));
      assert.deepEqual(found(files, {live: true, hidden: 5}), []);
    });

    it('read processes and the list of nodes once for all devices and guards', () => {
      using files = withDevices(pci(DISK, {classCode: '010802'}), pci('0000:02:00.0', {classCode: '010802'}));
      for (const [index, kind] of ['nvme', 'drm', 'infiniband_verbs'].entries()) {
        node(files, `${FOLDER}/${kind}/a`, [kind, `4095:${index}`, 'a']);
        node(files, `sys/devices/pci0000:02/0000:02:00.0/${kind}/a`, [kind, `4095:${index + 8}`, 'a']);
      }
      const reads = {processes: 0, nodes: 0};
      const tree = new (class extends DirectoryTree {
        override list(path: string): string[] | SyscallError {
          if (path === '/sys/dev/char') reads.nodes += 1;
          return super.list(path);
        }
      })(files.root);
      const {groups} = readHost(tree);
      const devices = groups.flatMap((group) => group.devices);
      const all = findings({
        tree,
        devices,
        groups,
        allDevices: devices,
        addresses: () => [],
        live: true,
        passive: false,
        doubt: () => undefined,
        openNodes: () => {
          reads.processes += 1;
          return {character: new Map(), block: new Map(), hidden: 1};
        },
      });
      assert.equal(all.length, 6);
      assert.deepEqual(reads, {processes: 1, nodes: 1});
    });

    it('find InfiniBand without an interface only where it can have one', () => {
      using files = withDevices(pci(DISK, {classCode: '020700', driver: 'mlx5_core'}));
      const layer = (port: number, text: string): void => {
        files.write(`${FOLDER}/infiniband/mlx5_0/ports/${port}/link_layer`, `${text}\n`);
      };
      layer(1, 'InfiniBand');
      assert.deepEqual(found(files, {live: true}), []);
      files.write('sys/module/ib_ipoib/initstate', 'live\n');
      assert.match(found(files, {live: true}).join(), /^network: mlx5_core drives it, but no interface/);
      files.remove('sys/module/ib_ipoib');
      layer(2, 'Ethernet');
      assert.match(found(files, {live: true}).join(), /^network: mlx5_core drives it, but no interface/);
    });

    it('find a network device whose interface does not show', () => {
      const namespace =
        'network: igb drives it, but no interface of it shows here: its interface is in another network namespace, or it has none';
      using files = withDevices(pci(DISK, {driver: 'igb'}));
      assert.deepEqual(found(files, {live: true}), [namespace]);
      files.write(`${FOLDER}/net/enp1s0/ifindex`, '2\n');
      files.link('sys/class/net/enp1s0', `${FOLDER}/net/enp1s0`);
      assert.deepEqual(found(files, {live: true}), []);
      for (const driver of [null, 'pci-stub', 'vfio-pci']) {
        using idle = withDevices(pci(DISK, {driver}));
        assert.deepEqual(found(idle, {live: true}), []);
      }
    });
  });

  describe('of networks', () => {
    const NIC = (): Machine => withDevices(pci(DISK, {driver: 'igb'}));
    const iface = (files: Machine, path: string, index: number, uppers: string[] = []): void => {
      const name = path.slice(path.lastIndexOf('/') + 1);
      files.write(`${path}/ifindex`, `${index}\n`);
      for (const upper of uppers) files.link(`${path}/upper_${upper}`, `sys/devices/virtual/net/${upper}`);
      files.link(`sys/class/net/${name}`, path);
    };
    const at = (index: number, address: string, linkLocal = false): InterfaceAddress => ({
      index,
      address,
      linkLocal,
    });

    it('find an interface that is up and has a link without a reason that shows', () => {
      using files = NIC();
      const folder = `${FOLDER}/net/enp1s0`;
      iface(files, folder, 2);
      files.write(`${folder}/flags`, '0x1003\n');
      files.write(`${folder}/carrier`, '0\n');
      assert.deepEqual(found(files), []);
      files.write(`${folder}/carrier`, '1\n');
      assert.match(
        found(files).join(),
        /^network: enp1s0 is up and has a link, and nothing here explains why/,
      );
      assert.deepEqual(found(files, {addresses: [at(2, '192.0.2.1/24')]}), [
        'network: enp1s0 has the address 192.0.2.1/24',
      ]);
      files.write(`${folder}/flags`, '0x1002\n');
      assert.deepEqual(found(files), []);
    });

    it('find an address, but not that which every interface has', () => {
      using files = NIC();
      iface(files, `${FOLDER}/net/enp1s0`, 2);
      assert.deepEqual(found(files, {addresses: [at(2, 'fe80::1/64', true), at(3, '192.0.2.1/24')]}), []);
      assert.deepEqual(found(files, {addresses: [at(2, '192.0.2.1/24'), at(2, '2001:db8::1/64')]}), [
        'network: enp1s0 has the address 192.0.2.1/24, 2001:db8::1/64',
      ]);
    });

    it('find the address of a VLAN on a bridge on a bond', () => {
      using files = NIC();
      iface(files, `${FOLDER}/net/enp1s0`, 2, ['bond0']);
      iface(files, 'sys/devices/virtual/net/bond0', 3, ['br0']);
      iface(files, 'sys/devices/virtual/net/br0', 4, ['br0.100']);
      iface(files, 'sys/devices/virtual/net/br0.100', 5);
      assert.deepEqual(found(files, {addresses: [at(5, '192.0.2.1/24')]}), [
        'network: br0.100 on enp1s0 has the address 192.0.2.1/24',
      ]);
    });

    it('find default routes of both protocols', () => {
      using files = NIC();
      iface(files, `${FOLDER}/net/ppp`, 2);
      iface(files, `${FOLDER}/net/six`, 3);
      files.write(
        'proc/net/route',
        'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\nppp\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\nother\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n',
      );
      const zeros = '0'.repeat(32);
      files.write(
        'proc/net/ipv6_route',
        `${zeros} 00 ${zeros} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003      six\n${zeros} 00 ${zeros} 00 ${zeros} ffffffff 00000001 00000000 00200200       lo\n`,
      );
      assert.deepEqual(found(files), [
        'network: ppp has a default route',
        'network: six has a default route',
      ]);
    });

    it('find a bridge by which others are reached', () => {
      using files = NIC();
      iface(files, `${FOLDER}/net/enp1s0`, 2, ['br0']);
      iface(files, 'sys/devices/virtual/net/br0', 3);
      const port = (name: string): void => {
        files.link(`sys/devices/virtual/net/br0/brif/${name}`, `sys/devices/virtual/net/${name}/brport`);
      };
      port('enp1s0');
      assert.deepEqual(found(files), []);
      port('tap1');
      port('tap0');
      assert.deepEqual(found(files), [
        'network: br0 on enp1s0 is a bridge that has the ports tap0, tap1, too',
      ]);
    });

    it('find ports of Open vSwitch', () => {
      using files = NIC();
      iface(files, `${FOLDER}/net/enp1s0`, 2, ['ovs-system']);
      iface(files, 'sys/devices/virtual/net/ovs-system', 3);
      assert.deepEqual(found(files), ['network: ovs-system on enp1s0 makes it a port of Open vSwitch']);
    });
  });

  describe('of file systems without a block device', () => {
    const SHARE = 'sys/devices/pci0000:01/0000:01:00.0/virtio0';
    const share = (files: Machine, driver: string, index: number, path: string, tag?: string): void => {
      files.write(`${path}/uevent`, '');
      files.link(`sys/bus/virtio/drivers/${driver}/virtio${index}`, path);
      if (tag !== undefined) files.write(`${path}/mount_tag`, `${tag}\0`);
    };

    it('find the device that carries the root of a virtual machine over 9p', () => {
      using files = withDevices(
        pci(DISK, {driver: 'virtio-pci'}),
        pci('0000:02:00.0', {driver: 'virtio-pci'}),
      );
      share(files, '9pnet_virtio', 0, SHARE, 'host');
      share(files, '9pnet_virtio', 1, 'sys/devices/pci0000:02/0000:02:00.0/virtio1', 'spare');
      mounts(files, ['0:22', '/', '9p', 'host']);
      assert.deepEqual(found(files), ['mounted: the 9p file system host of virtio0 is mounted at /']);
    });

    it('find a mount of another mount namespace', () => {
      using files = withDevices(pci(DISK, {driver: 'virtio-pci'}));
      share(files, '9pnet_virtio', 0, SHARE, 'data');
      mounts(files);
      files.write('proc/4711/mountinfo', '30 1 0:22 / /srv rw - 9p data rw\n');
      assert.deepEqual(found(files), ['mounted: the 9p file system data of virtio0 is mounted at /srv']);
    });

    it('find each device that may carry a virtiofs whose tag sysfs does not tell', () => {
      using files = withDevices(pci(DISK, {driver: 'virtio-pci'}));
      share(files, 'virtiofs', 0, SHARE);
      mounts(files, ['0:22', '/work', 'virtiofs', 'work']);
      assert.deepEqual(found(files), [
        'mounted: virtio0 may carry the virtiofs file system work, which is mounted at /work',
      ]);
      files.write('sys/fs/virtiofs/3/tag', 'other\n');
      files.link('sys/fs/virtiofs/3/device', SHARE);
      assert.deepEqual(found(files), []);
    });

    it('find flash memory with a file system', () => {
      using files = withDevices(pci(DISK, {classCode: '0c8000', driver: 'intel-spi'}));
      files.write(`${FOLDER}/mtd/mtd0/type`, 'nor\n');
      files.link('sys/class/mtd/mtd0', `${FOLDER}/mtd/mtd0`);
      files.write('sys/class/ubi/ubi1/mtd_num', '0\n');
      for (const [type, source] of [
        ['jffs2', 'mtd0'],
        ['jffs2', '/dev/mtdblock0'],
        ['ubifs', 'ubi1:root'],
        ['ubifs', '/dev/ubi1_0'],
      ] as const) {
        mounts(files, ['0:22', '/flash', type, source]);
        assert.deepEqual(found(files), ['mounted: the flash memory mtd0 is mounted at /flash'], source);
      }
      mounts(files, ['0:22', '/flash', 'ubifs', 'ubi0:root']);
      assert.deepEqual(found(files), []);
    });
  });

  describe('of what the machine itself needs', () => {
    it('find a TPM below the device, or below it in the tree of the firmware', () => {
      using files = withDevices(pci(DISK, {classCode: '060100', driver: 'lpc_ich'}));
      const node = 'sys/devices/LNXSYSTM:00/LNXSYBUS:00/PNP0A08:00/device:1f';
      files.write(`${node}/MSFT0101:00/hid`, 'MSFT0101\n');
      files.link(`${FOLDER}/firmware_node`, node);
      files.write('sys/devices/platform/MSFT0101:00/tpm/tpm0/tpm_version_major', '2\n');
      files.link('sys/devices/platform/MSFT0101:00/tpm/tpm0/device', 'sys/devices/platform/MSFT0101:00');
      files.link('sys/class/tpm/tpm0', 'sys/devices/platform/MSFT0101:00/tpm/tpm0');
      assert.deepEqual(found(files), []);
      files.link('sys/devices/platform/MSFT0101:00/firmware_node', `${node}/MSFT0101:00`);
      assert.deepEqual(found(files), ['platform: it carries the TPM tpm0']);
    });

    it('find a watchdog that runs', () => {
      using files = withDevices(pci(DISK, {classCode: '060100', driver: 'lpc_ich'}));
      files.write(`${FOLDER}/iTCO_wdt/watchdog/watchdog0/dev`, '250:0\n');
      files.link('sys/class/watchdog/watchdog0', `${FOLDER}/iTCO_wdt/watchdog/watchdog0`);
      assert.match(found(files).join(), /watchdog0, and this kernel does not report whether that runs$/);
      files.write(`${FOLDER}/iTCO_wdt/watchdog/watchdog0/state`, 'inactive\n');
      assert.deepEqual(found(files), []);
      files.write(`${FOLDER}/iTCO_wdt/watchdog/watchdog0/state`, 'active\n');
      assert.deepEqual(found(files), ['platform: it carries the watchdog watchdog0, which runs']);
    });

    it('find a connection over IPv4 of a socket that listens for both', () => {
      using files = withDevices(pci(DISK, {classCode: '020000', driver: 'e1000e'}));
      files.write(`${FOLDER}/net/enp1s0/ifindex`, '3\n');
      files.link('sys/class/net/enp1s0', `${FOLDER}/net/enp1s0`);
      files.write(
        'proc/net/tcp6',
        '  sl  local_address\n   0: 0000000000000000FFFF00000100FEA9:0016 0000000000000000FFFF00000200FEA9:C350 01 0\n',
      );
      const addresses = [{index: 3, address: '169.254.0.1/16', linkLocal: true}];
      assert.deepEqual(found(files, {addresses}), ['network: enp1s0 has 1 established TCP connection']);
    });

    it('find an interface whose link-local address a TCP connection uses', () => {
      using files = withDevices(pci(DISK, {classCode: '020000', driver: 'e1000e'}));
      files.write(`${FOLDER}/net/enp1s0/ifindex`, '3\n');
      files.link('sys/class/net/enp1s0', `${FOLDER}/net/enp1s0`);
      const addresses = [{index: 3, address: 'fe80::5054:ff:fe12:3456/64', linkLocal: true}];
      const line = (state: string): string =>
        `  sl  local_address\n   0: 000080FE00000000FF005450563412FE:0016 000080FE00000000FF005450563412FF:C350 ${state} 0\n`;
      files.write('proc/net/tcp6', line('0A'));
      assert.deepEqual(found(files, {addresses}), []);
      files.write('proc/net/tcp6', line('01'));
      assert.deepEqual(found(files, {addresses}), ['network: enp1s0 has 1 established TCP connection']);
    });
  });

  describe('of displays and consoles', () => {
    const CONSOLES = 'tty0                 -WU (EC p  )    4:1\n';
    const gpu = (address: string, driver = 'i915'): DeviceSpec => pci(address, {classCode: '030000', driver});

    it('find the boot display', () => {
      using files = withDevices(gpu(DISK), gpu('0000:02:00.0'));
      files.write(`${FOLDER}/boot_vga`, '1\n');
      files.write('sys/devices/pci0000:02/0000:02:00.0/boot_vga', '0\n');
      files.write('proc/consoles', CONSOLES);
      assert.deepEqual(found(files, {only: [DISK]}), ['display: it is the boot display (boot_vga is 1)']);
      assert.deepEqual(found(files, {only: ['0000:02:00.0']}), []);
    });

    it('find the last display of a machine without a serial console', () => {
      using files = withDevices(gpu(DISK), gpu('0000:02:00.0', 'vfio-pci'));
      files.write('proc/consoles', CONSOLES);
      assert.match(found(files, {only: [DISK]}).join(), /^console: it is the only way to the console tty0/);
      files.write('proc/consoles', `${CONSOLES}ttyS0 -W- (E p a) 4:64\n`);
      files.link('sys/class/tty/ttyS0', 'sys/devices/pnp0/00:03/tty/ttyS0');
      assert.deepEqual(found(files, {only: [DISK]}), []);
    });

    it('find the card of a serial console, whatever other console is left', () => {
      using files = withDevices(pci(DISK, {classCode: '070002', driver: 'serial'}), gpu('0000:02:00.0'));
      files.link('sys/class/tty/ttyS4', `${FOLDER}/tty/ttyS4`);
      files.write('proc/consoles', 'ttyS4 -W- (EC p a) 4:68\n');
      assert.match(found(files, {only: [DISK]}).join(), /the console ttyS4/);
      files.write('proc/consoles', `${CONSOLES}ttyS4 -W- (EC p a) 4:68\n`);
      assert.deepEqual(found(files, {only: [DISK]}), ['console: it is the only way to the console ttyS4']);
      assert.deepEqual(found(files, {only: ['0000:02:00.0']}), []);
      assert.equal(found(files).length, 2);
    });
  });

  it('find the last virtio console, whose terminal sysfs does not link to it', () => {
    using files = withDevices(
      pci(DISK, {classCode: '078000', driver: 'virtio-pci'}),
      pci('0000:02:00.0', {classCode: '078000', driver: 'virtio-pci'}),
    );
    files.write('proc/consoles', 'hvc0 -W- (EC p ) 229:0\n');
    files.link('sys/class/tty/hvc0', 'sys/devices/virtual/tty/hvc0');
    const console = (index: number, path: string): void => {
      files.write(`${path}/virtio${index}/uevent`, '');
      files.link(`sys/bus/virtio/drivers/virtio_console/virtio${index}`, `${path}/virtio${index}`);
    };
    files.write('sys/bus/virtio/drivers/virtio_console/uevent', '');
    console(0, FOLDER);
    assert.match(found(files, {only: [DISK]}).join(), /^console: it is the only way to the console hvc0/);
    assert.deepEqual(found(files, {only: ['0000:02:00.0']}), []);
    console(1, 'sys/devices/pci0000:02/0000:02:00.0');
    assert.deepEqual(found(files, {only: [DISK]}), []);
    assert.equal(found(files).length, 2);
  });

  it('find virtual functions with their drivers', () => {
    using files = withDevices(pci(DISK, {driver: 'igb'}));
    files.write(`${FOLDER}/sriov_numvfs`, '2\n');
    for (const index of [0, 1]) {
      const vf = `sys/devices/pci0000:01/0000:01:10.${index}`;
      files.write(`${vf}/uevent`, '');
      files.link(`${FOLDER}/virtfn${index}`, vf);
    }
    files.link('sys/devices/pci0000:01/0000:01:10.1/driver', 'sys/bus/pci/drivers/vfio-pci');
    assert.deepEqual(found(files), [
      'sriov: it has 2 virtual functions: 0000:01:10.0 (no driver), 0000:01:10.1 (vfio-pci)',
    ]);
    files.write(`${FOLDER}/sriov_numvfs`, '0\n');
    assert.deepEqual(found(files), []);
  });
});
