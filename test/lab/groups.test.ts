import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import type {GroupsDocument} from '../../src/groups/groups-document.js';
import type {Verdict} from '../../src/iommu/snoop-control.js';
import type {LabIommu} from '../../src/lab/iommu-choice.js';
import {guestProgram} from '../support/guest-program.js';
import {lab} from '../support/lab.js';
import {comparable, parseLspci} from '../support/lspci.js';
import {made} from '../support/made.js';
import {scratch} from '../vm/vmm.js';
import type {KernelAnswer} from './kernel-answer.js';

/** What each emulated IOMMU must lead to; null where the kernel has no driver for it, or there is none. */
const EXPECTED: readonly {kernel: string; iommu: LabIommu; verdict: Verdict | null; because?: string}[] = [
  {kernel: '6.1', iommu: 'intel', verdict: 'not-enforced'},
  {kernel: '6.1', iommu: 'intel-snoop', verdict: 'enforced'},
  {kernel: '6.1', iommu: 'amd', verdict: 'enforced'},
  {kernel: '6.1', iommu: 'virtio', verdict: null, because: 'no-driver'},
  {kernel: '6.1', iommu: 'none', verdict: null, because: 'no-virtual-hardware'},
  {kernel: '6.12', iommu: 'intel', verdict: 'not-enforced'},
  {kernel: '6.12', iommu: 'intel-snoop', verdict: 'enforced'},
  {kernel: '6.12', iommu: 'amd', verdict: 'enforced'},
  {kernel: '6.12', iommu: 'virtio', verdict: 'not-enforced'},
  {kernel: '6.12', iommu: 'none', verdict: null, because: 'no-virtual-hardware'},
];

/** In the guest: what kvfio says, what lspci says, and what the kernel does with the device that is bound to vfio-pci. */
const observe = (program: string): string => `
set -e
kvfio groups --json --explain --regions > $KVFIO_LAB_OUT/groups.json
lspci -Dvmmnnk > $KVFIO_LAB_OUT/lspci.txt
kvfio snapshot $KVFIO_LAB_OUT/snapshot.json > /dev/null
device=$(kvfio groups --driver vfio-pci --columns address --no-header 2> /dev/null)
if [ -n "$device" ]; then
    node "$KVFIO_LAB_OUT/${program}" "$device" > $KVFIO_LAB_OUT/answer.json
fi
`;

for (const {kernel, iommu, verdict, because} of EXPECTED) {
  describe(`groups on Linux ${kernel} with IOMMU ${iommu}`, () => {
    let out: string;
    let groups: GroupsDocument;

    made(() => {
      const folder = scratch();
      out = folder.path('');
      return folder;
    });
    before(async function () {
      this.timeout(300_000);
      const script = observe(guestProgram(out, 'lab/kernel-answer.ts'));
      const {exitCode, stderr} = await lab(this, {kernel, iommu, out, task: {script}});
      assert.equal(exitCode, 0, stderr.toString());
      groups = JSON.parse(readFileSync(join(out, 'groups.json'), 'utf8')) as GroupsDocument;
    });

    it('agrees with lspci on every PCI device', () => {
      assert.deepEqual(comparable(groups), parseLspci(readFileSync(join(out, 'lspci.txt'), 'utf8')));
    });

    it('warns of nothing', () => {
      assert.deepEqual(groups.warnings, []);
    });

    if (verdict === null) {
      it('has no groups and says why', () => {
        assert.deepEqual(groups.groups, []);
        assert.equal(groups.noGroups?.cause, because);
      });
      return;
    }

    it(`finds coherency ${verdict} for every group`, () => {
      assert.ok(groups.groups.length >= 5, 'the lab has at least five groups');
      for (const group of groups.groups)
        assert.equal(group.snoopControl.verdict, verdict, `group ${group.id}`);
    });

    it('has a group that VFIO would not accept, with the members that stand in the way', () => {
      const blocked = groups.groups.find((group) => !group.viable && group.devices.length > 3);
      assert.ok(blocked, 'the devices behind the switch share a group');
      assert.deepEqual(blocked.blockers.map((blocker) => blocker.driver).sort(), [
        'ahci',
        'e1000e',
        'xhci_hcd',
      ]);
    });

    it('concludes what the kernel concludes when the group is added to a VM', () => {
      const answer = JSON.parse(readFileSync(join(out, 'answer.json'), 'utf8')) as KernelAnswer;
      const bound = groups.groups.find((group) => group.devices.some((device) => device.boundToVfio));
      assert.equal(bound?.id, answer.group);
      const enforced = bound.snoopControl.verdict === 'enforced';
      assert.equal(answer.dmaCcBefore, 0, 'VFIO does not know before VFIO_SET_IOMMU');
      assert.equal(answer.dmaCcAfter, enforced ? 1 : 0);
      assert.equal(answer.registerHits, enforced ? 0 : 1);
      assert.equal(answer.unregisterHits, enforced ? 0 : 1);
    });
  });
}
