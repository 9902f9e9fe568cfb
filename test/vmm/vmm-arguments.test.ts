import assert from 'node:assert/strict';
import {vmmArguments, vmmOf, withArguments} from '../../src/vmm/vmm-arguments.js';

const TWO = ['0000:01:00.0', '0000:01:00.1'];

describe('the arguments of a VMM', () => {
  it('give it each device', () => {
    assert.deepEqual(vmmArguments('qemu', TWO), [
      ...['-device', 'vfio-pci,host=0000:01:00.0'],
      ...['-device', 'vfio-pci,host=0000:01:00.1'],
    ]);
    assert.deepEqual(vmmArguments('cloud-hypervisor', TWO), [
      '--device',
      'path=/sys/bus/pci/devices/0000:01:00.0/',
      'path=/sys/bus/pci/devices/0000:01:00.1/',
    ]);
    assert.deepEqual(vmmArguments('crosvm', TWO), [
      ...['--vfio', '/sys/bus/pci/devices/0000:01:00.0'],
      ...['--vfio', '/sys/bus/pci/devices/0000:01:00.1'],
    ]);
  });

  it('have no blanks, as a shell splits there', () => {
    for (const vmm of ['qemu', 'cloud-hypervisor', 'crosvm'] as const)
      for (const word of vmmArguments(vmm, TWO)) assert.match(word, /^\S+$/);
  });

  it('come last, or where the command line has their place', () => {
    assert.deepEqual(withArguments(['crosvm', 'run', '{vfio}', 'kernel'], ['--vfio', 'x']), [
      ...['crosvm', 'run', '--vfio', 'x', 'kernel'],
    ]);
    assert.deepEqual(withArguments(['qemu', '-m', '4G'], ['-device', 'x']), [
      ...['qemu', '-m', '4G', '-device', 'x'],
    ]);
  });
});

describe('a VMM', () => {
  for (const [program, vmm] of [
    ['qemu-system-x86_64', 'qemu'],
    ['/usr/bin/kvm', 'qemu'],
    ['/usr/libexec/qemu-kvm', 'qemu'],
    ['/opt/cloud-hypervisor-static', 'cloud-hypervisor'],
    ['crosvm', 'crosvm'],
    ['firecracker', null],
    ['/qemu-system-x86_64/sh', null],
  ] as const)
    it(`${vmm ?? 'that kvfio does not know'} is seen by its program ${program}`, () => {
      assert.equal(vmmOf(program), vmm);
    });
});
