import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {symlinkSync} from 'node:fs';
import {Failure} from '../../../src/failure.js';
import {CaptureTree, emptyCapture} from '../../../src/host/capture.js';
import {DirectoryTree} from '../../../src/host/directory-tree.js';
import {selectedDevices} from '../../../src/cli/flags/selected-devices.js';
import {besideNamed} from '../../../src/pci/selector/beside-named.js';
import {PciFunctions, pathText} from '../../../src/pci/selector/functions.js';
import {selectDevice, type SelectedDevice} from '../../../src/pci/selector/select-device.js';
import {takeSnapshot} from '../../../src/snapshot/take-snapshot.js';
import {folderOf, machine, pci, port, type Machine} from '../../support/machine.js';
import {skip} from '../../support/skip.js';

const rootPort = port('0000:00:1c.0');
const nic = pci('0000:01:00.0', {parent: folderOf(rootPort), dsn: 0x0000_0021_1b00_1b21n});
const second = pci('0000:01:00.1', {parent: folderOf(rootPort), dsn: 0x0000_0021_1b00_1b21n});
const usb = pci('0000:00:14.0', {classCode: '0c0330', device: '9d2f'});
const nvme = pci('0000:02:00.0', {
  vendor: '144d',
  device: 'a808',
  classCode: '010802',
  parent: 'pci0000:00/0000:00:1d.0',
});
const other = pci('0000:03:00.0', {
  vendor: '144d',
  device: 'a808',
  classCode: '010802',
  parent: 'pci0000:00/0000:00:1d.4',
});
const vmd = pci('0000:00:0e.0', {device: '201d', classCode: '010400'});
const behindVmd = pci('10000:e1:00.0', {
  vendor: '144d',
  device: 'a80a',
  classCode: '010802',
  parent: `${folderOf(vmd)}/pci10000:e0/10000:e0:06.0`,
});

const inside = (spec: typeof nic, rest: string): string => `sys/devices/${folderOf(spec)}/${rest}`;

/** A machine with what selectors look for; links of sysfs lead where the kernel has them. */
const built = (): Machine => {
  const made = machine({
    groups: {1: [nic, second], 2: [nvme], 3: [other]},
    ungrouped: [rootPort, usb, vmd, behindVmd],
  });
  const named = (folder: string, path: string): void => {
    made.write(`${path}/uevent`, '');
    made.link(`sys/class/${folder}/${path.slice(path.lastIndexOf('/') + 1)}`, path);
  };
  named('net', inside(nic, 'net/enp1s0f0'));
  made.write(inside(nic, 'net/enp1s0f0/address'), '52:54:00:ab:cd:ef\n');
  made.write(inside(nic, 'net/enp1s0f0/addr_assign_type'), '0\n');
  named('net', inside(second, 'net/enp1s0f1'));
  named('net', inside(usb, 'usb1/1-1/1-1:1.0/net/usbnet0'));
  named('net', 'sys/devices/virtual/net/br0');
  named('block', inside(nvme, 'nvme/nvme0/nvme0n1'));
  named('block', inside(nvme, 'nvme/nvme0/nvme0n1/nvme0n1p1'));
  named('nvme', inside(nvme, 'nvme/nvme0'));
  named('nvme', inside(other, 'nvme/nvme1'));
  made.write(inside(nvme, 'nvme/nvme0/serial'), 'S466NX0K 123      \n');
  made.write(inside(other, 'nvme/nvme1/serial'), 'S466NX0K 456      \n');
  named('block', 'sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme9n1');
  made.link('sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0', inside(nvme, 'nvme/nvme0'));
  made.link('sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme1', inside(other, 'nvme/nvme1'));
  made.write('dev/disk/by-id/.keep', '');
  symlinkSync('../../nvme0n1p1', made.path('dev/disk/by-id/nvme-Samsung_S466-part1'));
  return made;
};

const select = (text: string): SelectedDevice => {
  using made = built();
  return selectDevice(new DirectoryTree(made.root), text);
};

const refused = (text: string): Failure => {
  try {
    const {address} = select(text);
    assert.fail(`it was taken for ${address}`);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
};

describe('a device is named by', () => {
  for (const [text, by, address] of [
    ['01:00.0', 'address', '0000:01:00.0'],
    ['pci-0000:01:00.0', 'address', '0000:01:00.0'],
    ['0000:77:00.0', 'address', '0000:77:00.0'],
    ['00:1c.0/00.0', 'path', '0000:01:00.0'],
    ['0000:00:1C.0/00.1', 'path', '0000:01:00.1'],
    ['00:1c.0/01:00.1', 'path', '0000:01:00.1'],
    ['10000:e0:06.0/00.0', 'path', '10000:e1:00.0'],
    ['/sys/devices/pci0000:00/0000:00:1c.0/0000:01:00.1', 'path', '0000:01:00.1'],
    ['8086:9d2f', 'ids', '0000:00:14.0'],
    ['144D:A808#1', 'ids', '0000:02:00.0'],
    ['144d:a808#2', 'ids', '0000:03:00.0'],
    ['enp1s0f1', 'interface', '0000:01:00.1'],
    ['nvme0n1', 'block-device', '0000:02:00.0'],
    ['nvme0n1p1', 'block-device', '0000:02:00.0'],
    ['nvme1', 'block-device', '0000:03:00.0'],
    ['/dev/nvme0n1', 'block-device', '0000:02:00.0'],
    ['/dev/disk/by-id/nvme-Samsung_S466-part1', 'block-device', '0000:02:00.0'],
    ['S466NX0K 456', 'serial', '0000:03:00.0'],
    ['52:54:00:AB:CD:EF', 'serial', '0000:01:00.0'],
  ] as const) {
    it(`its ${by}, such as ${text}`, () => {
      assert.deepEqual(select(text), {selector: text, by, address});
    });
  }

  for (const [text, address] of [
    ['144d:a808#2', '0000:03:00.0'],
    ['00:1c.0/00.1', '0000:01:00.1'],
    ['8086:9d2f', '0000:00:14.0'],
  ] as const) {
    it(`${text} in a snapshot, too`, () => {
      using made = built();
      const {capture} = takeSnapshot(new DirectoryTree(made.root), 'test', false);
      assert.equal(selectDevice(new CaptureTree(capture, 'machine.json'), text).address, address);
    });
  }

  it('the path that lspci prints', function () {
    const {stdout, status} = spawnSync('lspci', ['-P', '-n'], {encoding: 'utf8'});
    const functions = new PciFunctions(new DirectoryTree()).all;
    if (status !== 0 || functions.length === 0)
      return skip(this, 'this host has no lspci, or no PCI devices');
    const printed = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ', 1)[0]);
    assert.deepEqual(functions.map(pathText).sort(), printed.sort());
  });
});

describe('a name that no device has', () => {
  it('is refused with the names there are, and the likeliest of them', () => {
    const failure = refused('enp1s0f9');
    assert.deepEqual([failure.code, failure.exitCode], ['DEVICE_NOT_FOUND', 3]);
    assert.equal(failure.what, 'There is no device "enp1s0f9".');
    assert.match(
      failure.why,
      /^No PCI device has it among its interfaces, block devices and serial numbers\. There are interfaces enp1s0f0 \(0000:01:00\.0\) and enp1s0f1 \(0000:01:00\.1\); block devices nvme0n1 \(0000:02:00\.0\)/,
    );
    assert.match(failure.hint, /^Did you mean "enp1s0f[01]"\?$/);
  });

  it('is that of what is plugged into a USB controller, which has more than that', () => {
    assert.equal(refused('usbnet0').code, 'DEVICE_NOT_FOUND');
  });

  it('is that of an interface without a device', () => {
    assert.equal(refused('br0').code, 'DEVICE_NOT_FOUND');
  });

  it('is a number beyond the devices of these ids, which are listed', () => {
    const failure = refused('144d:a808#3');
    assert.equal(failure.code, 'DEVICE_NOT_FOUND');
    assert.match(failure.why, /144d:a808#1 \(0000:02:00\.0\) and 144d:a808#2 \(0000:03:00\.0\)/);
  });

  it('is a path to nothing, and the paths there are follow', () => {
    assert.match(refused('00:1c.0/05.0').why, /00:1c\.0\/00\.0 \(0000:01:00\.0\)/);
  });

  for (const text of ['../x', '', ' ', '144d:a808#0', '/etc/passwd'])
    it(`may be no name at all: "${text}"`, () => {
      assert.ok([2, 3].includes(refused(text).exitCode));
    });

  it('says of a snapshot that it has no names of interfaces', () => {
    const tree = new CaptureTree(emptyCapture('test', false), 'machine.json');
    assert.throws(
      () => selectDevice(tree, 'eth0'),
      (error) => error instanceof Failure && error.why.startsWith('A snapshot has no names of interfaces'),
    );
  });
});

describe('a name that several devices have', () => {
  it('is refused with each of them by a name that is its own', () => {
    const failure = refused('144d:a808');
    assert.deepEqual([failure.code, failure.exitCode], ['DEVICE_AMBIGUOUS', 2]);
    assert.equal(failure.what, '"144d:a808" names 2 devices, and kvfio takes one.');
    assert.equal(failure.why, 'They are 144d:a808#1 (0000:02:00.0) and 144d:a808#2 (0000:03:00.0).');
    assert.equal(failure.hint, 'Name one of them, such as 144d:a808#1.');
  });

  it('may be the serial number that the functions of a card share', () => {
    assert.match(refused('00-00-00-21-1b-00-1b-21').why, /0000:01:00\.0.* and .*0000:01:00\.1/);
  });

  it('may be a disk that several controllers lead to', () => {
    const {code, why} = refused('nvme9n1');
    assert.equal(code, 'DEVICE_AMBIGUOUS');
    assert.match(why, /0000:02:00\.0.* and .*0000:03:00\.0/);
  });
});

describe('a name of a part of a device', () => {
  const hba = pci('0000:04:00.0', {classCode: '010700', device: '0097'});
  const ports = pci('0000:05:00.0', {device: '1003'});
  const two = pci('0000:06:00.0', {classCode: '010802', device: 'f1a5'});
  const emmc = pci('0000:07:00.0', {classCode: '080501', device: '5acc'});
  const PLACES = {
    sda: [hba, 'host0/target0:0:0/0:0:0:0/block/sda'],
    sda1: [hba, 'host0/target0:0:0/0:0:0:0/block/sda/sda1'],
    sdb: [hba, 'host0/target0:0:1/0:0:1:0/block/sdb'],
    sr0: [hba, 'host0/target0:0:2/0:0:2:0/block/sr0'],
    nvme3n1: [two, 'nvme/nvme3/nvme3n1'],
    nvme3n2: [two, 'nvme/nvme3/nvme3n2'],
    nvme3c3n1: [two, 'nvme/nvme3/nvme3c3n1'],
    mmcblk0: [emmc, 'mmc_host/mmc0/mmc0:0001/block/mmcblk0'],
    mmcblk0p1: [emmc, 'mmc_host/mmc0/mmc0:0001/block/mmcblk0/mmcblk0p1'],
    mmcblk0boot0: [emmc, 'mmc_host/mmc0/mmc0:0001/block/mmcblk0/mmcblk0boot0'],
  } as const;

  const withParts = (): Machine => {
    const made = machine({ungrouped: [hba, ports, two, emmc, nic, usb]});
    for (const [name, [spec, path]] of Object.entries(PLACES)) {
      made.write(inside(spec, `${path}/uevent`), '');
      made.link(`sys/class/block/${name}`, inside(spec, path));
    }
    made.write(inside(two, 'nvme/nvme3/nvme3c3n1/hidden'), '1\n');
    made.link('sys/class/nvme/nvme3', inside(two, 'nvme/nvme3'));
    made.write(inside(two, 'nvme/nvme3/serial'), 'PHHH 7\n');
    for (const [at, name] of ['ens5', 'ens5d1'].entries()) {
      made.write(inside(ports, `net/${name}/address`), `52:54:00:00:00:0${at}\n`);
      made.write(inside(ports, `net/${name}/addr_assign_type`), '0\n');
      made.link(`sys/class/net/${name}`, inside(ports, `net/${name}`));
    }
    made.write(inside(nic, 'net/eth9/address'), '52:54:00:00:00:09\n');
    made.link('sys/class/net/eth9', inside(nic, 'net/eth9'));
    return made;
  };

  const beside = (text: string): string[] => {
    using made = withParts();
    const tree = new DirectoryTree(made.root);
    return besideNamed(tree, selectDevice(tree, text));
  };

  for (const [text, others] of [
    ['sda', ['sdb', 'sr0']],
    ['/dev/sda1', ['sdb', 'sr0']],
    ['sr0', ['sda', 'sdb']],
    ['nvme3n1', ['nvme3n2']],
    ['ens5d1', ['ens5']],
    ['52-54-00-00-00-00', ['ens5d1']],
  ] as const)
    it(`leaves others out, such as ${text}`, () => {
      assert.deepEqual(beside(text), others);
    });

  for (const text of ['eth9', 'nvme3', 'PHHH 7', 'mmcblk0', 'mmcblk0p1', '04:00.0', '8086:0097'])
    it(`is not that of the whole, such as ${text}`, () => {
      assert.deepEqual(beside(text), []);
    });

  it('is refused where the device is taken, with the others and its address, and only noted where it is shown', () => {
    using made = withParts();
    const tree = new DirectoryTree(made.root);
    const notes: string[] = [];
    const note = (line: string): void => void notes.push(line);
    assert.throws(
      () => selectedDevices(tree, ['sdb'], {note}),
      (error) => {
        assert.ok(error instanceof Failure);
        assert.deepEqual([error.code, error.exitCode], ['DEVICE_HAS_MORE', 5]);
        assert.equal(error.why, '0000:04:00.0 also has sda and sr0.');
        assert.equal(error.hint, 'Name the device 0000:04:00.0 to take all that it has.');
        return true;
      },
    );
    assert.deepEqual(notes, []);
    assert.equal(selectedDevices(tree, ['04:00.0'], {note})[0]?.address, '0000:04:00.0');
    selectedDevices(tree, ['sdb'], {note, isOnlyShown: true});
    assert.deepEqual(notes, [
      'by its block device sdb, the device is 0000:04:00.0, which also has sda and sr0.',
    ]);
  });
});
