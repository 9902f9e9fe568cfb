import assert from 'node:assert/strict';
import {mkdirSync, writeFileSync} from 'node:fs';
import {dirname} from 'node:path';
import {constants} from 'node:os';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {SyscallError} from '../../src/linux/errno.js';
import {readMachineRecord} from '../../src/probe/machine-record.js';
import {WatchedTree} from '../support/watched-tree.js';
import {scratch} from '../vm/vmm.js';

const OPTIONS = {pinnedCpu: 1, kvfioVersion: '0.1.0'};

const cpuinfo = (flags: string): string =>
  [0, 1]
    .map(
      (cpu) =>
        `processor\t: ${cpu}\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Xeon ${cpu}\nstepping\t: 8\nmicrocode\t: 0x2b00060${cpu}\nflags\t\t: fpu ${flags}\n`,
    )
    .join('\n');

describe('the record of a machine', () => {
  let folder: ReturnType<typeof scratch>;
  beforeEach(() => {
    folder = scratch();
  });
  afterEach(() => {
    folder[Symbol.dispose]();
  });
  const put = (files: Record<string, string | Buffer>): DirectoryTree => {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(folder.path(`.${path}`)), {recursive: true});
      writeFileSync(folder.path(`.${path}`), content);
    }
    return new DirectoryTree(folder.path('.'));
  };

  it('has what is told of the CPU that is measured on', () => {
    const tree = put({
      '/proc/cpuinfo': cpuinfo('vmx'),
      '/proc/sys/kernel/osrelease': '6.12.0-1-amd64\n',
      '/proc/sys/kernel/arch': 'x86_64\n',
      '/proc/self/status': 'Name:\tnode\nCpus_allowed_list:\t0-1\n',
      '/sys/module/kvm/x': '',
      '/sys/module/kvm_intel/x': '',
      '/sys/module/kvm_amd/x': '',
      '/sys/devices/system/cpu/online': '0-1\n',
      '/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor': 'powersave\n',
      '/sys/devices/system/cpu/cpu1/cpufreq/scaling_driver': 'intel_pstate\n',
      '/sys/devices/system/clocksource/clocksource0/current_clocksource': 'tsc\n',
      '/sys/devices/system/cpu/vulnerabilities/meltdown': 'Not affected\n',
      '/sys/devices/system/cpu/vulnerabilities/mds': 'Mitigation: Clear CPU buffers\n',
    });
    assert.deepEqual(readMachineRecord(tree, OPTIONS), {
      cpu: 'Xeon 1',
      vendor: 'GenuineIntel',
      signature: '6-143-8',
      microcode: '0x2b000601',
      kernel: '6.12.0-1-amd64',
      architecture: 'x86_64',
      kvmModule: 'kvm_intel',
      virtualised: false,
      hypervisor: null,
      online: '0-1',
      pinnedCpu: 1,
      allowed: '0-1',
      governor: 'powersave',
      frequencyDriver: 'intel_pstate',
      clockSource: 'tsc',
      mitigations: {mds: 'Mitigation: Clear CPU buffers', meltdown: 'Not affected'},
      kvfio: '0.1.0',
    });
  });

  it('is null where nothing is known, and does not throw', () => {
    const record = readMachineRecord(put({'/x': ''}), {pinnedCpu: null, kvfioVersion: '1'});
    const {kvfio, ...rest} = record;
    assert.equal(kvfio, '1');
    for (const [name, value] of Object.entries(rest)) assert.equal(value, null, name);
    const refusing = new WatchedTree(
      new DirectoryTree(),
      (path) => new SyscallError('open', constants.errno.EACCES, path),
    );
    assert.deepEqual(readMachineRecord(refusing, {pinnedCpu: null, kvfioVersion: '1'}), record);
  });

  it('tells which hypervisor a guest runs under, by the first of several signs', () => {
    const hypervisor = (files: Record<string, string | Buffer>): string | null =>
      readMachineRecord(put(files), OPTIONS).hypervisor;
    assert.equal(hypervisor({'/proc/cpuinfo': cpuinfo('hypervisor')}), null);
    assert.equal(
      hypervisor({
        '/sys/class/dmi/id/sys_vendor': 'QEMU\n',
        '/sys/class/dmi/id/product_name': 'Standard PC\n',
      }),
      'QEMU Standard PC',
    );
    const clocks = '/sys/devices/system/clocksource/clocksource0/available_clocksource';
    assert.equal(hypervisor({[clocks]: 'kvm-clock tsc\n'}), 'KVM');
    assert.equal(hypervisor({'/sys/hypervisor/type': 'xen\n'}), 'xen');
    assert.equal(readMachineRecord(put({'/proc/cpuinfo': cpuinfo('')}), OPTIONS).hypervisor, null);
  });

  it('is that of this machine here', () => {
    const record = readMachineRecord(new DirectoryTree(), OPTIONS);
    assert.match(record.kernel ?? '', /^\d+\.\d+/);
    assert.notEqual(record.allowed, null);
  });
});
