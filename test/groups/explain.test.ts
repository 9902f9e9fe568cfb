import assert from 'node:assert/strict';
import {amd, folderOf, intel, other, pci, plain, port, type MachineSpec} from '../support/machine.js';
import {explain, readDocument} from '../support/read.js';

const card = (unit: string | null, options = {}): ReturnType<typeof pci> =>
  pci('0000:01:00.0', {unit, ...options});
const one = (spec: MachineSpec, unit: MachineSpec['units'], options = {}): string =>
  explain({units: unit ?? {}, groups: {3: [card(Object.keys(unit ?? {})[0] ?? null, options)]}, ...spec});

describe('the explanation of a group', () => {
  it('names unit, register, value and bit', () => {
    assert.match(
      one({}, {dmar0: intel('29a00f0505e')}),
      /dmar0 \(Intel VT-d\) serves 0000:01:00\.0\.\nThe .* reads 0x29a00f0505e \(\/sys\/class\/iommu\/dmar0\/intel-iommu\/ecap.*bit 7, SC \(Snoop Control\), is clear/,
    );
  });

  it('says once what the ways to several devices have in common', () => {
    const root = port('0000:00:1c.0', {unit: 'dmar0'});
    const under = (slot: string) => {
      const down = port(`0000:02:${slot}.0`, {unit: 'dmar0', parent: folderOf(root), pcie: 6});
      return [down, pci(`0000:${slot}:00.0`, {unit: 'dmar0', parent: folderOf(down)})];
    };
    const text = explain({
      units: {dmar0: intel('f00f4a')},
      groups: {3: [...under('05'), ...under('06')], 4: [root]},
    });
    assert.equal(text.match(/0000:00:1c\.0 \(root port/g)?.length, 1);
    assert.match(
      text,
      /^Path of 0000:05:00\.0 and 0000:06:00\.0: 0000:00:1c\.0 .*; from there 0000:02:05\.0 .* > 0000:05:00\.0.* and 0000:02:06\.0 .* > 0000:06:00\.0/m,
    );
  });

  it('says which unit counts where units differ', () => {
    assert.match(
      one({}, {dmar0: intel('f050da'), dmar1: intel('29a00f0505e')}),
      /dmar1 is not-enforced\): what counts is the unit/,
    );
  });

  describe('of what a VM gets', () => {
    it('is real WBINVD and slow boots on Intel, where the kernel honours guest MTRRs', () => {
      const text = one({release: '6.1.0'}, {dmar0: intel('f00f4a')});
      assert.match(text, /executes every WBINVD/);
      assert.match(text, /MTRR/);
      assert.match(text, /boots/);
    });

    it("is real WBINVD and the guest's PAT, but not its MTRRs, since 6.11", () => {
      const text = one({release: '6.11.0'}, {dmar0: intel('f00f4a')});
      assert.match(text, /executes every WBINVD/);
      assert.match(text, /PAT/);
      assert.match(text, /no longer looks at its MTRRs/);
      assert.doesNotMatch(text, /sets up its MTRRs early/);
    });

    it('is write-back memory on Intel with snoop control', () => {
      assert.match(
        one({}, {dmar0: intel('f00fca')}),
        /skips the guest\'s WBINVD, as it always skips INVD\. On Intel CPUs guest memory is cached write-back whatever type the guest gave it, while KVM_X86_QUIRK_IGNORE_GUEST_PAT is on/,
      );
    });

    it("does not promise that for AMD, where the guest's PAT always counts", () => {
      const text = one({}, {ivhd0: amd()});
      assert.match(text, /skips the guest's WBINVD/);
      assert.doesNotMatch(text, /cached write-back whatever/);
    });

    it('is nothing on other architectures', () => {
      const text = one({architecture: 'aarch64'}, {'smmu3.0x0000000050000000': plain('arm-smmu-v3')});
      assert.match(text, /This machine is not x86/);
      assert.doesNotMatch(text, /WBINVD/);
      assert.doesNotMatch(text, /MTRR/);
    });

    it('is an open question for a unit that cannot be judged', () => {
      assert.match(one({}, {dmar0: intel('zz')}), /cannot determine here.*VFIO_DMA_CC_IOMMU/);
    });
  });

  describe('of No-Snoop', () => {
    it('leaves out ports and bridges, which no guest gets', () => {
      const text = explain({
        units: {dmar0: intel('f00f4a')},
        groups: {0: [port('0000:00:1c.0', {unit: 'dmar0'}), card('dmar0')]},
      });
      assert.match(text, /0000:01:00\.0 may send No-Snoop/);
      assert.doesNotMatch(text, /0000:00:1c\.0[^.]* (may|may not) send/);
    });

    it('says what reaches memory past the caches', () => {
      assert.match(one({}, {dmar0: intel('f00f4a')}), /reach memory past the caches/);
      assert.match(one({}, {dmar0: intel('f00fca')}), /which the IOMMU makes coherent/);
      assert.match(
        one({}, {dmar0: intel('f00f4a')}, {noSnoop: false}),
        /KVM does not look at that bit, and the guest can set it/,
      );
    });
  });

  describe('of isolation', () => {
    const behind = (acs: readonly [number, number] | null, together: boolean, release = '6.12.1'): string => {
      const root = port('0000:00:1c.0', {unit: 'dmar0', acs});
      const device = card('dmar0', {parent: folderOf(root)});
      return explain({
        release,
        units: {dmar0: intel('f050da')},
        groups: together ? {0: [root, device]} : {0: [device], 1: [root]},
      });
    };

    it('shows the path to the root port with its ACS', () => {
      assert.match(
        behind([0x1d, 0x1d], false),
        /Path of 0000:01:00\.0: 0000:00:1c\.0 \(root port, ACS SrcValid\+ ReqRedir\+ CmpltRedir\+ UpstreamFwd\+\) > 0000:01:00\.0 \(endpoint\)/,
      );
    });

    it('blames a port without ACS that is in the group', () => {
      assert.match(behind(null, true), /No ACS at 0000:00:1c\.0: requests between/);
      assert.match(
        behind([0x1d, 0x01], true),
        /ACS without ReqRedir, CmpltRedir, UpstreamFwd at 0000:00:1c\.0: requests/,
      );
    });

    it('does not blame a port that the kernel separates without ACS, by a quirk of the device', () => {
      assert.doesNotMatch(behind(null, false), /share a group/);
      assert.match(behind(null, false), /No ACS at 0000:00:1c\.0, but the kernel takes it to isolate/);
    });

    it('takes flags that a port cannot switch for hard-wired, as the kernel does', () => {
      assert.doesNotMatch(behind([0x0d, 0x0d], false), /ACS without/);
    });

    it('says that a conventional bus cannot be told apart', () => {
      const bridge = port('0000:05:00.0', {unit: 'dmar0', pcie: 7, acs: null, driver: null});
      const text = explain({
        units: {dmar0: intel('f050da')},
        groups: {0: [bridge, pci('0000:06:01.0', {parent: folderOf(bridge), pcie: null, unit: 'dmar0'})]},
      });
      assert.match(
        text,
        /PCIe-to-PCI bridge 0000:05:00\.0: the IOMMU cannot distinguish the devices behind it/,
      );
    });
  });

  describe('before 5.19, where every Intel unit counts', () => {
    const text = one({release: '5.15.0'}, {dmar0: intel('f050da'), dmar1: intel('29a00f0505e')});

    it('does not say that only the unit of the device counts', () => {
      assert.match(text, /dmar1 is not-enforced\): this kernel asks them all/);
      assert.doesNotMatch(text, /what counts is the unit/);
    });

    it('recommends a newer kernel to a device whose own unit has snoop control', () => {
      assert.match(text, /Linux 5\.19 or newer looks only at the unit that serves the device/);
      assert.doesNotMatch(text, /a slot behind a unit that has it/);
    });
  });

  it('names functions of one device that share a group for want of ACS', () => {
    const functions = ['0000:00:1f.0', '0000:00:1f.3'].map((address) => pci(address, {unit: 'dmar0'}));
    assert.match(
      explain({units: {dmar0: intel('f050da')}, groups: {0: functions}}),
      /0000:00:1f\.0 and 0000:00:1f\.3 are functions of one device without ACS/,
    );
  });

  it('warns of a group without an IOMMU', () => {
    const devices = [card(null, {driver: 'vfio-pci'})];
    assert.match(explain({groups: {0: {name: 'vfio-noiommu', devices}}}), /noiommu.*taints the kernel/);
    assert.doesNotMatch(explain({groups: {0: devices}}), /noiommu/);
  });

  it('says which member stands in the way of VFIO', () => {
    assert.match(
      one({}, {dmar0: intel('f050da')}, {driver: 'e1000e'}),
      /would not accept the group: 0000:01:00\.0 is bound to e1000e/,
    );
    assert.match(one({}, {dmar0: intel('f050da')}, {driver: 'vfio-pci'}), /would accept the group/);
  });

  it('leaves no doubt whether VFIO would accept it where one obstacle is certain', () => {
    const text = one({interrupts: null}, {'smmu3.0x1000': plain()}, {driver: 'e1000e'});
    assert.match(text, /^VFIO would not accept the group: 0000:01:00\.0 is bound to e1000e/m);
    assert.match(
      text,
      /^Not certain besides: kvfio cannot see whether smmu3\.0x1000 has cache coherent DMA/m,
    );
    assert.doesNotMatch(text, /is not certain:/);
  });

  it('says of a device in no group whether VFIO has it all the same', () => {
    const textOf = (driver: string): string =>
      readDocument({ungrouped: [card(null, {driver})]}).ungrouped[0]?.explanation?.join('\n') ?? '';
    assert.match(textOf('igb'), /^VFIO does not take it, except without any protection/m);
    assert.match(textOf('vfio-pci'), /^VFIO has it without any protection \(noiommu\)/m);
  });

  it('names the members that the host may need', () => {
    const chipset = ['060100', '010601', '0c0500', '0c8000', '0c0701'].map((classCode, at) =>
      pci(`0000:00:1f.${at}`, {classCode}),
    );
    assert.match(
      explain({groups: {0: chipset}}),
      /host may need .*: 0000:00:1f\.0 is an ISA bridge .*; 0000:00:1f\.2 is an SMBus .*; 0000:00:1f\.3 is a serial bus .*; 0000:00:1f\.4 is an IPMI interface/,
    );
    assert.doesNotMatch(explain({groups: {0: [card(null)]}}), /host may need/);
  });

  it('explains a mediated device and an empty group', () => {
    const text = explain({
      groups: {0: [other('mdev', '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001', {driver: 'vfio_mdev'})]},
    });
    assert.match(text, /a mediated device has no IOMMU of its own/);
    assert.match(explain({groups: {0: []}}), /Group 0 has no devices/);
  });
});
