import assert from 'node:assert/strict';
import {fileURLToPath} from 'node:url';
import {explainGroup} from '../../src/groups/explain.js';
import type {Group} from '../../src/iommu/group.js';
import {readHost, type Host} from '../../src/iommu/host.js';
import {CaptureTree, emptyCapture} from '../../src/host/capture.js';
import {openTree} from '../../src/host/open-tree.js';
import {assess} from '../../src/vfio/eligibility/assess.js';
import {examine} from '../../src/vfio/eligibility/examined.js';

/** What was captured has no interrupts in it. */
const TREE = new CaptureTree(emptyCapture('', true), '');

/** Captured in the lab by root: `kvfio lab --iommu amd -- kvfio snapshot …`. */
const captured = (name: string): Host =>
  readHost(openTree(fileURLToPath(new URL(`../fixtures/lab-${name}.json`, import.meta.url))), {paths: true});

const explained = (host: Host, group: Group): string[] =>
  explainGroup(host, group, assess(examine(TREE, host), group).group);

const CAPTURES = [
  ['intel', 'not-enforced', /dmar0 .*reads 0xf00f4a .*bit 7, SC \(Snoop Control\), is clear/],
  ['intel-snoop', 'enforced', /dmar0 .*reads 0xf00fca .*bit 7, SC \(Snoop Control\), is set/],
  ['amd', 'enforced', /ivhd0 \(AMD-Vi\)[^]*FC bit/],
  ['virtio', 'not-enforced', /virtio-iommu driver never claims/],
] as const;

describe('machines captured in the lab', () => {
  for (const [name, verdict, why] of CAPTURES) {
    it(`are ${verdict} with ${name}, for every group and in words`, () => {
      const host = captured(name);
      assert.deepEqual(host.warnings, []);
      assert.ok(host.groups.length > 5);
      for (const group of host.groups) assert.equal(group.snoopControl.verdict, verdict, `group ${group.id}`);
      const bound = host.groups.find((group) => group.devices.some((device) => device.boundToVfio));
      assert.ok(bound, 'the lab binds one device to vfio-pci');
      assert.match(explained(host, bound).join('\n'), why);
    });
  }

  it('name the switch without ACS as the reason for a group of several devices', () => {
    const host = captured('intel');
    const shared = host.groups.find((group) =>
      group.blockers.some((blocker) => blocker.driver === 'xhci_hcd'),
    );
    assert.ok(shared && !shared.viable);
    const words = explained(host, shared).join('\n');
    assert.match(words, /No ACS at .*: requests between the devices around it need not pass the IOMMU/);
    assert.match(words, /VFIO would not accept the group: .*is bound to xhci_hcd/);
  });
});
