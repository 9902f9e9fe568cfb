import assert from 'node:assert/strict';
import {vmmName} from '../../src/vm/vmm-name.js';

/** Command line, its process's name where it matters, and what is read of it. */
const TABLE: readonly (readonly [string, string | null, string | null, string | null, string?])[] = [
  ['qemu-system-x86_64 -name web', 'qemu', 'web', '-name'],
  ['/usr/bin/qemu-system-x86_64 -name guest=web,debug-threads=on -S', 'qemu', 'web', '-name'],
  ['/usr/bin/qemu-system-x86_64 -name debug-threads=on,guest=web', 'qemu', 'web', '-name'],
  ['/usr/libexec/qemu-kvm -name guest=a,,b=c,process=x', 'qemu', 'a,b=c', '-name'],
  ['kvm --name 100 -name vm100', 'qemu', 'vm100', '-name'],
  ['/usr/bin/kvm -id 100 -name vm,,1', 'qemu', 'vm,1', '-name'],
  ['qemu-system-x86_64 -name debug-threads=on', 'qemu', null, null],
  ['qemu-system-x86_64 -m 1G', 'qemu', null, null],
  ['qemu-system-x86_64 -name', 'qemu', null, null],
  ['a renamed one -name x', 'qemu', 'x', '-name', 'qemu-system-x86'],
  ['cloud-hypervisor --api-socket /run/ch/db1.sock --kernel k', 'cloud-hypervisor', 'db1', '--api-socket'],
  ['cloud-hypervisor --api-socket=path=/run/db2.sock', 'cloud-hypervisor', 'db2', '--api-socket'],
  ['cloud-hypervisor --api-socket /run/vc/vm/4f1b/clh-api.sock', 'cloud-hypervisor', '4f1b', '--api-socket'],
  [
    'cloud-hypervisor --platform serial_number=7,uuid=0f5c --api-socket /run/x.sock',
    'cloud-hypervisor',
    '0f5c',
    '--platform',
  ],
  ['cloud-hypervisor --kernel k', 'cloud-hypervisor', null, null],
  ['cloud-hypervisor --kernel k', 'cloud-hypervisor', null, null, 'cloud-hyperviso'],
  ['/firecracker --id 551e7604 --start-time-us 1', 'firecracker', '551e7604', '--id'],
  ['firecracker-v1.7.0-x86_64 --id=micro --no-api', 'firecracker', 'micro', '--id'],
  ['firecracker --api-sock /run/firecracker.socket', 'firecracker', null, null],
  ['crosvm run -s /run/crosvm/arc.sock bzImage', 'crosvm', 'arc', '--socket'],
  ['node /usr/local/bin/kvfio vm --sock @test', 'kvfio', '@test', '--sock'],
  ['node server.js --id 7', null, null, null],
  ['', null, null, null, ''],
];

describe('the name of a VM', () => {
  for (const [line, vmm, name, source, comm = 'x'] of TABLE) {
    it(`is ${name ?? 'unknown'} of "${line}"`, () => {
      assert.deepEqual(vmmName(line.split(' '), comm), {vmm, name, source});
    });
  }
});
