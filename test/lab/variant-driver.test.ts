import assert from 'node:assert/strict';
import {copyFileSync} from 'node:fs';
import {basename} from 'node:path';
import type {Context} from 'mocha';
import type {BindDocument} from '../../src/vfio/bind/bind-document.js';
import type {LabResult} from '../../src/lab/lab.js';
import {buildKernelModule} from '../support/kernel-module.js';
import {lab} from '../support/lab.js';
import {needs} from '../support/needs.js';
import {skip} from '../support/skip.js';
import {scratch} from '../vm/vmm.js';

/** A NIC of virtio alone in its slot, which QEMU puts behind the IOMMU; the lab loads no driver for its interface. */
const NIC = 'virtio-net-pci,bus=pcie.0,addr=0x2,disable-legacy=on,iommu_platform=on';
const AT = '0000:00:02.0';

/** Has the guest's kernel have the module too, in a copy of its folder that ends with the guest. */
const withModule = (module: string): string => `
modules=/lib/modules/$(uname -r)
mkdir -p /run/modules/upper /run/modules/work
mount -t overlay -o lowerdir=$modules,upperdir=/run/modules/upper,workdir=/run/modules/work overlay $modules
cp "$KVFIO_LAB_OUT/${module}" $modules/
depmod
`;

const BIND = `
kvfio bind --device ${AT} --driver auto --force-network --json > $KVFIO_LAB_OUT/bind.json || { cat $KVFIO_LAB_OUT/bind.json >&2; exit 1; }
cat $KVFIO_LAB_OUT/bind.json
basename $(readlink /sys/bus/pci/devices/${AT}/driver) >&2
kvfio groups --device ${AT} --columns driver,assignable --no-header >&2
kvfio unbind --device ${AT} > /dev/null
basename $(readlink /sys/bus/pci/devices/${AT}/driver) >&2
`;

const inLab = (context: Context, out: string, script: string): Promise<LabResult> =>
  lab(context, {kernel: '6.12', iommu: 'intel', pci: [NIC], out, task: {script: `set -e\n${script}`}});

const answerOf = ({exitCode, stdout, stderr}: LabResult): [BindDocument['devices'][number], string[]] => {
  assert.equal(exitCode, 0, stderr.toString());
  const [device] = (JSON.parse(stdout.toString()) as BindDocument).devices;
  assert.ok(device);
  const lines = stderr.toString().trim().split('\n');
  return [device, lines.slice(-3).map((line) => line.trim().replaceAll(/\s+/g, ' '))];
};

describe('bind --driver auto in the lab', function () {
  this.timeout(1_200_000);

  before(function () {
    needs(this, 'x64', 'cc', 'lab', 'root');
    if (process.env['KVFIO_TEST_LONG'] === undefined)
      skip(this, 'it downloads the source of a kernel: KVFIO_TEST_LONG=1 has it run');
  });

  it('takes vfio-pci where the kernel has no other, and the driver that is made for the device where it has', async function () {
    using folder = scratch();
    const out = folder.path('.');
    const plain = await inLab(this, out, BIND);
    const [before, without] = answerOf(plain);
    assert.deepEqual(
      [before.after.driver, before.chosen],
      ['vfio-pci', 'no other driver of VFIO is made for it'],
    );
    assert.deepEqual(without, ['vfio-pci', 'vfio-pci yes', 'virtio-pci']);

    using place = scratch();
    const module = buildKernelModule(place.path('.'), {
      release: plain.kernel,
      directory: 'drivers/vfio/pci/virtio',
      option: 'CONFIG_VIRTIO_VFIO_PCI',
    });
    copyFileSync(module, folder.path(basename(module)));
    const [device, with_] = answerOf(await inLab(this, out, withModule(basename(module)) + BIND));
    assert.equal(device.after.driver, 'virtio_vfio_pci');
    assert.match(device.chosen ?? '', /^virtio_vfio_pci has the alias vfio_pci:v00001AF4d00001041/);
    assert.deepEqual(with_, ['virtio_vfio_pci', 'virtio_vfio_pci yes', 'virtio-pci']);
  });
});
