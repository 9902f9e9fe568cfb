import assert from 'node:assert/strict';
import {lab} from '../support/lab.js';

/** Has KVM make a VM and VFIO give it a group that sits in a container with page tables. */
const USE = `
set -e
test -c /dev/kvm
cat /sys/kernel/boot_params/version
group=$(kvfio groups --driver vfio-pci --columns group --no-header)
kvfio vm --sock /run/vm.sock >&2 &
kvfio attach --vm-sock /run/vm.sock --wait --timeout 120 --group "$group" --container type1
kvfio status --vm-sock /run/vm.sock --verify
kvfio detach --vm-sock /run/vm.sock --group "$group"
kill $!
wait $!
`;

/** Of a kernel that was started at its PVH entry (init_pvh_bootparams in arch/x86/platform/pvh/enlighten.c). */
const STARTED_DECOMPRESSED = /^0x020c$/m;

const COHERENT = /^now: coherent: WBINVD is skipped$/m;
const NON_COHERENT = /^now: non-coherent: WBINVD is executed/m;

describe('the lab has KVM and VFIO', function () {
  this.timeout(1_200_000);

  for (const {series, iommu, verdict} of [
    {series: '5.10', iommu: 'intel', verdict: NON_COHERENT},
    {series: '5.10', iommu: 'intel-snoop', verdict: COHERENT},
    {series: '7.3', iommu: 'intel', verdict: NON_COHERENT},
    {series: '7.3', iommu: 'amd', verdict: COHERENT},
  ] as const) {
    it(`on Linux ${series} with the IOMMU "${iommu}"`, async function () {
      const notes: string[] = [];
      const result = await lab(this, {
        task: {script: USE},
        kernel: series,
        iommu,
        onNote: (line) => notes.push(line),
      });
      const output = `${result.stdout.toString()}${result.stderr.toString()}`;
      assert.equal(result.exitCode, 0, output);
      assert.ok(result.kernel.startsWith(`${series}.`));
      assert.match(output, STARTED_DECOMPRESSED);
      assert.match(output, verdict);
      const saysUnsafe = notes.some((line) => line.includes('allow_unsafe_interrupts of vfio_iommu_type1'));
      assert.equal(saysUnsafe, series === '7.3' && iommu === 'amd');
    });
  }
});
