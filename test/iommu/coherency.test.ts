import assert from 'node:assert/strict';
import type {GroupSnoopControl} from '../../src/iommu/coherency.js';
import {amd, intel, other, pci, port, type DeviceSpec} from '../support/machine.js';
import {read} from '../support/read.js';

const units = {without: intel('f00f4a'), with: intel('f00fca'), ivhd0: amd()};
const vfio = {driver: 'vfio-pci', vfio: ['vfio0']};

const without = pci('0000:01:00.0', {unit: 'without'});
const withIt = pci('0000:01:00.1', {unit: 'with'});

const verdict = (release: string, devices: readonly DeviceSpec[]): GroupSnoopControl => {
  const [group] = read({release, units, groups: {0: devices}}).groups;
  assert.ok(group);
  return group.snoopControl;
};

describe('the verdict on a group', () => {
  describe('since 6.2, by the members that are bound to VFIO', () => {
    it('is that of the bound member, and of all members beside it', () => {
      const {verdict: now, boundMembers, allMembers} = verdict('6.2.0', [without, {...withIt, ...vfio}]);
      assert.deepEqual(
        [now, boundMembers?.verdict, allMembers.verdict],
        ['enforced', 'enforced', 'not-enforced'],
      );
    });

    it('is that of all members while none is bound', () => {
      const {verdict: now, boundMembers} = verdict('6.12.1', [without, withIt]);
      assert.deepEqual([now, boundMembers], ['not-enforced', null]);
    });

    it('is not enforced as soon as one bound member is not', () => {
      assert.equal(
        verdict('6.2.0', [
          {...without, driver: 'vfio-pci'},
          {...withIt, ...vfio},
        ]).verdict,
        'not-enforced',
      );
    });

    it('does not count bridges, which VFIO never takes', () => {
      const bridge = port('0000:00:1c.0', {unit: 'without'});
      assert.equal(verdict('6.2.0', [bridge, withIt]).allMembers.verdict, 'enforced');
    });

    it('is not enforced for a mediated device', () => {
      assert.equal(
        verdict('6.2.0', [other('mdev', '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001')]).verdict,
        'not-enforced',
      );
    });

    it('is assumed for a kernel whose release cannot be read', () => {
      const host = read({release: null, units, groups: {0: [without]}});
      assert.equal(host.kernel.coherencyRule, 'devices');
      assert.ok(host.warnings.some(({path}) => path === '/proc/sys/kernel/osrelease'));
    });
  });

  describe('from 5.19 to 6.1, by the domain of the container', () => {
    it('counts all members, bound or not', () => {
      const {verdict: now, boundMembers} = verdict('6.1.0-40-amd64', [without, {...withIt, ...vfio}]);
      assert.deepEqual([now, boundMembers], ['not-enforced', null]);
    });

    it('asks only the units of the members', () => {
      assert.equal(verdict('5.19.0', [withIt]).verdict, 'enforced');
    });

    it('is enforced for mediated devices alone, whose container has no domain', () => {
      assert.equal(
        verdict('6.1.0', [other('mdev', '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001')]).verdict,
        'enforced',
      );
    });
  });

  describe('before 5.19, on Intel, by all units of the machine', () => {
    it('is unknown from 5.13 on for a unit that may run in scalable mode, and what bit 7 says before', () => {
      const scalable = {dmar0: intel('80000f0505e')};
      const at = (release: string): unknown =>
        read({release, units: scalable, groups: {0: [pci('0000:00:02.0', {unit: 'dmar0'})]}}).groups[0]
          ?.snoopControl.verdict;
      assert.deepEqual(['5.10.0', '5.13.0', '5.18.0', '5.19.0'].map(at), [
        'not-enforced',
        'unknown',
        'unknown',
        'not-enforced',
      ]);
    });

    it('is not enforced where one unit is not, whichever serves the device', () => {
      assert.equal(verdict('5.18.9', [withIt]).verdict, 'not-enforced');
    });

    it('asks only Intel units', () => {
      assert.equal(
        read({
          release: '5.10.0',
          units: {dmar0: intel('f00fca')},
          groups: {0: [pci('0000:01:00.0', {unit: 'dmar0'})]},
        }).groups[0]?.snoopControl.verdict,
        'enforced',
      );
    });

    it('is by the member where it is no Intel machine', () => {
      assert.equal(verdict('5.18.9', [pci('0000:01:00.0', {unit: 'ivhd0'})]).verdict, 'enforced');
    });
  });

  it('is as sure as its weakest part when enforced, and as its strongest when not', () => {
    const by = (devices: readonly DeviceSpec[]): string => verdict('6.12.1', devices).confidence;
    assert.equal(by([withIt, pci('0000:01:00.2', {unit: 'ivhd0'})]), 'exact');
    assert.equal(by([without, pci('0000:01:00.2', {unit: null})]), 'exact');
    assert.equal(by([pci('0000:01:00.2', {unit: null})]), 'by-type');
  });

  it('states each fact once', () => {
    const twins = [withIt, pci('0000:01:00.2', {unit: 'with'})];
    assert.equal(verdict('6.12.1', twins).evidence.length, 1);
  });

  it('is unknown for a group without devices', () => {
    assert.deepEqual([verdict('6.12.1', []).verdict, verdict('6.1.0', []).verdict], ['unknown', 'unknown']);
  });
});
