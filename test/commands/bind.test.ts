import assert from 'node:assert/strict';
import {readdirSync} from 'node:fs';
import Bind from '../../src/commands/bind.js';
import Unbind from '../../src/commands/unbind.js';
import type {ErrorDocument} from '../../src/cli/output/report.js';
import type {BindDocument, UnbindDocument} from '../../src/vfio/bind/bind-document.js';
import {folderOf, intel, machine, pci} from '../support/machine.js';
import {run} from '../support/run.js';
import {documentOf} from '../support/schema.js';
import {skip} from '../support/skip.js';

type Command = typeof Bind | typeof Unbind;

const errorOf = async (command: Command, argv: string[]): Promise<[exit: number, code: string]> => {
  const {exit, stdout} = await run(command, [...argv, '--json']);
  return [exit, documentOf<ErrorDocument>(stdout, 'error').error.code];
};

describe('kvfio bind and kvfio unbind', () => {
  it('want a group or a device', async () => {
    assert.deepEqual(await errorOf(Bind, []), [2, 'USAGE']);
    assert.deepEqual(await errorOf(Unbind, []), [2, 'USAGE']);
    assert.deepEqual(await errorOf(Unbind, ['--recover', '--group', '1']), [2, 'USAGE']);
  });

  it('say what is not there', async () => {
    assert.deepEqual(await errorOf(Bind, ['--group', '2147483647']), [3, 'GROUP_NOT_FOUND']);
    assert.deepEqual(await errorOf(Unbind, ['--device', 'ffff:ff:1f.7']), [3, 'DEVICE_NOT_FOUND']);
    assert.deepEqual(await errorOf(Bind, ['--group', '1', '--user', 'no such user']), [3, 'USER_NOT_FOUND']);
  });

  it('plan for another machine, whose snapshot or files are given, and say what these leave open', async () => {
    using built = machine({
      units: {dmar0: intel('f050da')},
      groups: {12: [pci('0000:01:00.0', {unit: 'dmar0', driver: 'e1000e'})]},
    });
    const argv = ['--group', '12', '--sysroot', built.root];
    assert.deepEqual(await errorOf(Bind, argv), [2, 'USAGE']);
    assert.deepEqual(await errorOf(Bind, [...argv, '--dry-run', '--user', '0']), [2, 'USAGE']);
    const {exit, stdout} = await run(Bind, [...argv, '--dry-run', '--json']);
    const {steps, warnings, groups} = documentOf<BindDocument>(stdout, 'bind');
    assert.deepEqual([exit, steps.length, groups[0]?.assignable.verdict], [0, 3, 'yes']);
    assert.ok(warnings.some(({message}) => message.includes('a capture does not show')));
  });

  it('say which device a name stands for before they change anything, and in the document', async () => {
    const nic = pci('0000:01:00.0', {unit: 'dmar0', driver: 'e1000e'});
    using built = machine({units: {dmar0: intel('f050da')}, groups: {12: [nic]}});
    built.write(`sys/devices/${folderOf(nic)}/net/eth7/uevent`, '');
    built.link('sys/class/net/eth7', `sys/devices/${folderOf(nic)}/net/eth7`);
    const argv = ['--device', 'eth7', '--sysroot', built.root, '--dry-run'];
    const {stdout, stderr} = await run(Bind, [...argv, '--json']);
    const {selected, devices} = documentOf<BindDocument>(stdout, 'bind');
    assert.deepEqual(selected, [{selector: 'eth7', by: 'interface', address: '0000:01:00.0'}]);
    assert.deepEqual(
      devices.map(({address}) => address),
      ['0000:01:00.0'],
    );
    assert.match(stderr, /^kvfio: by its interface eth7, the device is 0000:01:00\.0\.$/m);
  });

  it('change nothing for a name that no device has, or several have', async () => {
    using built = machine({
      units: {dmar0: intel('f050da')},
      groups: {1: [pci('0000:01:00.0', {unit: 'dmar0'})], 2: [pci('0000:02:00.0', {unit: 'dmar0'})]},
    });
    const dry = ['--sysroot', built.root, '--dry-run'];
    assert.deepEqual(await errorOf(Bind, ['--device', 'eth8', ...dry]), [3, 'DEVICE_NOT_FOUND']);
    assert.deepEqual(await errorOf(Bind, ['--device', '8086:10d3', ...dry]), [2, 'DEVICE_AMBIGUOUS']);
    assert.deepEqual(await errorOf(Unbind, ['--device', 'no-such-device']), [3, 'DEVICE_NOT_FOUND']);
    const {stdout} = await run(Bind, ['--device', '8086:10d3#2', ...dry, '--json']);
    assert.deepEqual(
      documentOf<BindDocument>(stdout, 'bind').devices.map(({address}) => address),
      ['0000:02:00.0'],
    );
  });

  it('are for root only', async function () {
    const [device] = readdirSync('/sys/bus/pci/devices');
    if (device === undefined) skip(this, 'this machine has no PCI device');
    else if (process.geteuid?.() !== 0 || process.seteuid === undefined) {
      assert.deepEqual(await errorOf(Bind, ['--device', device]), [4, 'NOT_ROOT']);
    } else {
      process.seteuid(65534);
      try {
        assert.deepEqual(await errorOf(Bind, ['--device', device]), [4, 'NOT_ROOT']);
        assert.deepEqual(await errorOf(Unbind, ['--device', device]), [4, 'NOT_ROOT']);
      } finally {
        process.seteuid(0);
      }
    }
  });

  it('have nothing to recover where nothing was cut short', async () => {
    const {exit, stdout} = await run(Unbind, ['--recover', '--json']);
    assert.equal(exit, 0);
    const document = documentOf<UnbindDocument>(stdout, 'unbind');
    assert.deepEqual([document.changed, document.devices], [false, []]);
    assert.match((await run(Unbind, ['--recover'])).stdout, /^nothing to do$/m);
  });
});
