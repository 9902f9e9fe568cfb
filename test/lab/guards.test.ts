import assert from 'node:assert/strict';
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {which} from '../../src/lab/programs.js';
import type {BindDocument} from '../../src/vfio/bind/bind-document.js';
import {lab} from '../support/lab.js';
import {made} from '../support/made.js';
import {needs} from '../support/needs.js';
import {documentOf} from '../support/schema.js';
import {unfolded} from '../support/unfolded.js';
import {scratch} from '../vm/vmm.js';

const VGA = '0000:00:01.0';
const DISK = '0000:00:02.0';
const SERIAL = '0000:00:04.0';
const SCSI = '0000:00:05.0';
const NIC = '0000:00:06.0';
const VIRTIO_CONSOLE = '0000:00:07.0';
const ROOT = '0000:00:1b.0';
const PF = '0000:01:00.0';

const DEVICES = [
  'VGA,addr=0x1',
  'nvme,addr=0x2,serial=disk,drive=disk',
  'pcie-root-port,addr=0x3,id=port1,chassis=1,slot=1',
  'nvme-subsys,id=subsystem',
  'nvme,bus=port1,serial=functions,subsys=subsystem,max_ioqpairs=6,msix_qsize=7,sriov_max_vfs=2,sriov_vq_flexible=4,sriov_vi_flexible=2',
  'pci-serial,addr=0x4',
  'virtio-scsi-pci,addr=0x5,id=scsi',
  'scsi-cd,bus=scsi.0',
  'e1000e,addr=0x6',
  'virtio-serial-pci,addr=0x7',
  'virtconsole',
];

/** Runs kvfio, and leaves what it says and its exit code. */
const SCRIPT = `
out=$KVFIO_LAB_OUT
say() { name=$1; shift; $AS kvfio "$@" > $out/$name.out 2> $out/$name.err; echo $? > $out/$name.exit; }
state() {
  for device in /sys/bus/pci/devices/*; do
    echo "\${device##*/} $(readlink $device/driver | sed 's,.*/,,') $(cat $device/driver_override)"
  done > $out/$1.state
}
journals() { ls /run/kvfio/bind 2> /dev/null | grep json > $out/$1.journals; }

# a module that is nowhere, one that is forbidden, and no modprobe
rmmod vfio_pci vfio_pci_core vfio_iommu_type1 vfio || cat /proc/modules >&2
state before
mount -t tmpfs tmpfs /lib/modules
say missing bind --device ${NIC}
umount /lib/modules
mount -t tmpfs tmpfs /etc/modprobe.d
echo 'install vfio-pci /bin/false' > /etc/modprobe.d/no.conf
say forbidden bind --device ${NIC}
umount /etc/modprobe.d
mount -t tmpfs tmpfs /usr/sbin
say no-modprobe bind --device ${NIC}
umount /usr/sbin
say unloaded bind --device ${NIC} --dry-run --json
state unchanged
journals unchanged
say loaded bind --device ${NIC}
say returned unbind --device ${NIC}
state returned

# killed when the first of two devices has lost its driver
kvfio bind --device ${NIC} --device ${PF} > /dev/null 2>&1 & kvfio=$!
while [ -e /sys/bus/pci/devices/${NIC}/driver ] && [ -e /proc/$kvfio ]; do :; done
kill -KILL $kvfio
wait $kvfio 2> /dev/null
state killed
journals killed
say interrupted bind --device ${NIC}
say recovered unbind --recover
state recovered
journals recovered
say idle unbind --recover

# everything that a disk can be part of
modprobe -a dm-mod raid1 virtio_scsi virtio_console sr_mod sg
# of two controllers either may be the first
cd /sys/bus/pci/devices/${DISK}/nvme/nvme*
controller=\${PWD##*/}
cd /
export disk=/dev/\${controller}n1
for number in 1 2 3 4 5 6 7; do addpart $disk $number $((number * 14336)) 14336; done
config='devices { use_devicesfile=0 scan=["/dev"] obtain_device_list_from_udev=0 } activation { udev_sync=0 udev_rules=0 } backup { backup=0 archive=0 }'
{
  mkswap \${disk}p1
  swapon \${disk}p1
  lvm pvcreate --config "$config" \${disk}p2 \${disk}p5
  lvm vgcreate --config "$config" vg \${disk}p2
  lvm lvcreate -y -Zn -Wn --config "$config" -n lv -l 1 vg
  mkswap /dev/vg/lv
  swapon /dev/vg/lv
  for part in 3 6; do
    mdadm --create /dev/md$part --run --force --level=1 --raid-devices=1 --metadata=1.2 \${disk}p$part
  done
  mdadm --stop /dev/md6
  dmsetup --noudevsync create lower --table "0 8192 linear \${disk}p4 0"
  dmsetup mknodes
  dmsetup --noudevsync create upper --table "0 8192 linear /dev/mapper/lower 0"
  dmsetup mknodes
  mkfs.ext4 -q /dev/mapper/upper
  mount -o ro /dev/mapper/upper /mnt
  mkfs.ext4 -q \${disk}p7
} > $out/setup.log 2>&1
unshare -m --propagation private sh -c 'mount -o ro \${disk}p7 /media && echo up > /tmp/apart && exec sleep 10000' & apart=$!
for attempt in $(seq 100); do [ -s /tmp/apart ] && break; sleep 0.1; done
say disk bind --device ${DISK}

# and freed of it, but for a program that gives commands
{
  kill $apart; wait $apart
  umount /mnt
  swapoff -a
  dmsetup --noudevsync remove upper
  dmsetup --noudevsync remove lower
  lvm vgchange --config "$config" -an vg
  mdadm --stop /dev/md3
  for part in 2 3 5 6; do dd if=/dev/zero of=\${disk}p$part bs=1M count=7; done
} >> $out/setup.log 2>&1
sleep 10000 < /dev/$controller & holder=$!
sleep 10000 < /dev/sg0 &
sleep 10000 < /dev/dri/card0 &
say node bind --device ${DISK}
say generic bind --device ${SCSI}
# root of a container may not look into processes that may do more
AS='setpriv --bounding-set -sys_ptrace'
say unseen bind --device ${DISK}
say unseen-dry bind --device ${DISK} --dry-run
AS=
kill $holder
say freed bind --device ${DISK}

# the root of this guest, and what has nothing to do with it
findmnt -n -o FSTYPE,SOURCE / > $out/root
say root bind --device ${ROOT}
say root-dry bind --device ${ROOT} --dry-run
say root-driver groups --device ${ROOT} --columns driver --no-header

# the kernel's consoles are a virtio console, the serial card, and the display
cat /proc/consoles > $out/consoles
say display bind --device ${VGA}
say two-consoles bind --device ${VIRTIO_CONSOLE} --device ${SERIAL} --dry-run
say consoles bind --device ${VIRTIO_CONSOLE} --device ${SERIAL} --device ${VGA} --force-display

# virtual functions
pf=/sys/bus/pci/devices/${PF}
echo 0 > $pf/sriov_drivers_autoprobe
echo 2 > $pf/sriov_numvfs
say function bind --device ${PF.replace('00.0', '00.1')}
say functions bind --device ${PF}
say functions-forced bind --device ${PF} --force-sriov
state functions-forced
echo 0 > $pf/sriov_numvfs
say no-functions bind --device ${PF}
state last
`;

/**
 * QEMU with a kernel whose console is not the lab's: of the 8250's ports, the first one on the command line is the only
 * one that can be a console.
 */
const WRAPPER = `#!/bin/bash
exec QEMU "\${@/console=ttyS0,115200/console=ttyS3 console=tty0 console=hvc0}"
`;

describe('bind, its guards and its recovery on a real kernel (lab)', function () {
  this.timeout(1_200_000);
  let folder: ReturnType<typeof scratch>;
  const text = (name: string): string => readFileSync(folder.path(`out/${name}`), 'utf8');

  /** What kvfio said when it ended with this code. */
  const said = (name: string, exit: number): string => {
    const everything = `${text(`${name}.out`)}${text(`${name}.err`)}`;
    assert.equal(Number(text(`${name}.exit`)), exit, `${name}: ${everything}`);
    return everything;
  };

  /** What a refusal names, one sentence each; the disk may be of either controller, and a process of any number. */
  const refused = (name: string): string[] =>
    said(name, 5)
      .replaceAll(/nvme\d/g, 'nvmeN')
      .replaceAll(/process \d+/g, 'process N')
      .split('\n')
      .flatMap((line) => /^ {2}\S+: (.*)\.$/.exec(line)?.[1] ?? []);

  /** Driver and override of the devices that differ. */
  const changed = (from: string, to: string): string[] => {
    const before = text(`${from}.state`).split('\n');
    return text(`${to}.state`)
      .split('\n')
      .filter((line) => !before.includes(line));
  };

  made(function () {
    needs(this, 'lab', 'mdadm', 'lvm', 'dmsetup');
    return (folder = scratch());
  });
  before(async function () {
    const path = process.env['PATH'] ?? '';
    for (const name of ['bin', 'out']) mkdirSync(folder.path(name));
    const wrapper = folder.path('bin/qemu-system-x86_64');
    writeFileSync(wrapper, WRAPPER.replace('QEMU', which('qemu-system-x86_64', path) ?? ''), {mode: 0o755});
    process.env['PATH'] = `${folder.path('bin')}:${path}`;
    try {
      const {exitCode, stdout, stderr} = await lab(this, {
        kernel: '6.12',
        pci: DEVICES,
        out: folder.path('out'),
        task: {script: SCRIPT},
      });
      assert.equal(exitCode, 0, `${stdout.toString()}${stderr.toString()}`);
    } finally {
      process.env['PATH'] = path;
    }
  });

  it('changes nothing when vfio-pci cannot be loaded, and says why', () => {
    assert.match(said('missing', 3), /could not be loaded.*modprobe says: Module vfio-pci not found in/s);
    assert.match(said('forbidden', 3), /modprobe says: Error running install command '\/bin\/false' for/);
    assert.match(said('no-modprobe', 3), /There is no program modprobe here\./);
    assert.deepEqual(changed('before', 'unchanged'), []);
    assert.equal(text('unchanged.journals'), '');
  });

  it('loads vfio-pci when it is not there, and says so', () => {
    assert.deepEqual(documentOf<BindDocument>(text('unloaded.out'), 'bind').modules, ['vfio-pci']);
    assert.match(said('loaded', 0), /^kvfio: loaded the module vfio-pci, which stays loaded$/m);
    assert.match(unfolded(said('loaded', 0)), /e1000e -> vfio-pci\ngroup \d+: viable/);
    assert.match(unfolded(said('returned', 0)), /vfio-pci -> e1000e/);
    assert.deepEqual(changed('before', 'returned'), []);
  });

  it('puts right what a killed bind left, says what it did, and then has nothing to do', () => {
    assert.deepEqual(changed('before', 'killed'), [`${NIC}  vfio-pci`]);
    assert.match(text('killed.journals'), /json/);
    assert.match(said('interrupted', 5), /half-way between two drivers.*kvfio unbind --recover/s);
    const recovered = unfolded(said('recovered', 0));
    assert.match(recovered, new RegExp(`^${NIC} .*: no driver \\(override vfio-pci\\) -> e1000e$`, 'm'));
    assert.match(recovered, new RegExp(`^${PF} .*: left alone, it is as it was$`, 'm'));
    assert.deepEqual(changed('before', 'recovered'), []);
    assert.equal(text('recovered.journals'), '');
    assert.equal(said('idle', 0), 'nothing to do\n');
  });

  it('refuses a disk for everything that is built on it or uses it', () => {
    assert.deepEqual(refused('disk'), [
      'dm-2 (upper) on dm-1 (lower) on nvmeNn1p4 is mounted at /mnt',
      'nvmeNn1p7 is mounted at /media',
      'nvmeNn1p1 is swap space in use',
      'dm-0 (vg-lv) on nvmeNn1p2 is swap space in use',
      'nvmeNn1p2 carries dm-0',
      'nvmeNn1p3 carries md3',
      'nvmeNn1p4 carries dm-1',
      'dm-1 (lower) on nvmeNn1p4 carries dm-2',
      'nvmeNn1p5 is a member of LVM',
      'nvmeNn1p6 is a member of a RAID array (md)',
    ]);
    assert.match(said('disk', 5), /--force-mounted --force-swap --force-storage\.$/m);
    assert.match(unfolded(said('freed', 0)), /nvme -> vfio-pci/);
  });

  it('names the process that has a node open by which it commands a device', () => {
    assert.deepEqual(refused('node'), ['/dev/nvmeN is open in process N (sleep)']);
    // an empty drive is no disk that cannot be asked
    assert.deepEqual(refused('generic'), ['/dev/sg0 is open in process N (sleep)']);
    assert.deepEqual(refused('display'), [
      'it is the boot display (boot_vga is 1)',
      '/dev/dri/card0 is open in process N (sleep)',
    ]);
  });

  it('refuses what it cannot tell to be free, for want of the right to look into processes', () => {
    const [disk, nodes, ...others] = refused('unseen').map((line) => line.replace(/ng\dn/, 'ngNn'));
    const whether = /^kvfio may not look into \d+ processes, any of which may have (.*) open$/;
    const [, blocks = ''] = whether.exec(disk ?? '') ?? [];
    assert.deepEqual(
      blocks.split(/, | or /).sort(),
      ['', 'p1', 'p2', 'p3', 'p4', 'p5', 'p6', 'p7'].map((part) => `nvmeNn1${part}`),
    );
    const [, characters = ''] = whether.exec(nodes ?? '') ?? [];
    assert.deepEqual(characters.split(' or ').sort(), ['/dev/ngNn1', '/dev/nvmeN']);
    assert.deepEqual(others, []);
    assert.match(said('unseen', 5), /--force-storage\.$/m);
    assert.match(said('unseen-dry', 0), /may have \S+ or \/dev\/\S+ open/);
  });

  it('refuses to take a serial or virtio console, and all ways to the console together', () => {
    assert.deepEqual(
      text('consoles').match(/^\S+/gm)?.sort(),
      ['hvc0', 'tty0', 'ttyS3'],
      'the kernel has no other consoles',
    );
    const two = said('two-consoles', 5);
    for (const console of ['hvc0', 'ttyS3'])
      assert.match(
        two,
        new RegExp(`refused: .* it is the only way to the console ${console} \\(--force-console\\)`),
      );
    assert.doesNotMatch(two, /tty0/);
    assert.deepEqual(refused('consoles').sort(), [
      'it is the only way to the console hvc0, and no other console would be left',
      'it is the only way to the console tty0, and no other console would be left',
      'it is the only way to the console ttyS3, and no other console would be left',
    ]);
  });

  it('refuses the device that carries the root of this guest, and so does a dry run', () => {
    assert.match(text('root'), /^9p +host$/m);
    assert.match(said('root', 5), /the 9p file system host of virtio\d+ is mounted at \/[,\s]/);
    assert.match(said('root', 5), /--force-mounted/);
    assert.match(
      said('root-dry', 5),
      /refused: .*the 9p file system host of virtio\d+ is mounted at \/[,\s]/,
    );
    assert.equal(said('root-driver', 0).trim(), 'virtio-pci');
  });

  it('refuses a physical function while it has virtual ones, as vfio-pci does', () => {
    assert.match(unfolded(said('function', 0)), /no driver -> vfio-pci\ngroup \d+: viable/);
    assert.deepEqual(refused('functions'), [
      'it has 2 virtual functions: 0000:01:00.1 (vfio-pci), 0000:01:00.2 (no driver)',
    ]);
    assert.match(said('functions-forced', 9), /answered EBUSY: 0000:01:00\.0 has 2 virtual functions\./);
    assert.ok(text('functions-forced.state').includes(`${PF} nvme (null)\n`));
    assert.match(unfolded(said('no-functions', 0)), /nvme -> vfio-pci/);
    assert.deepEqual(changed('before', 'last').sort(), [
      `${DISK} vfio-pci vfio-pci`,
      `${PF} vfio-pci vfio-pci`,
    ]);
  });
});
