import assert from 'node:assert/strict';
import {Failure} from '../../src/failure.js';
import {acceleratorOf, archParts, iommuOf, LAB_ARCHES} from '../../src/lab/arch.js';
import {LAB_IOMMUS} from '../../src/lab/iommu-choice.js';

describe('the architecture of a guest', () => {
  it('has an IOMMU of its own, unless another one is wished that its machine has', () => {
    assert.deepEqual(
      LAB_ARCHES.map((arch) => iommuOf(arch, undefined)),
      ['intel', 'smmuv3'],
    );
    assert.equal(iommuOf('amd64', 'amd'), 'amd');
    for (const [arch, iommu] of [
      ['arm64', 'intel'],
      ['amd64', 'smmuv3'],
    ] as const)
      assert.throws(
        () => iommuOf(arch, iommu),
        (error) => error instanceof Failure && error.kind === 'usage',
      );
  });

  it('leaves no IOMMU of the lab to none', () => {
    assert.deepEqual(
      LAB_IOMMUS.filter((iommu) => !LAB_ARCHES.some((arch) => archParts(arch).iommus.includes(iommu))),
      [],
    );
  });

  it('is emulated where it is not that of the host', () => {
    assert.equal(acceleratorOf('arm64', 'auto'), 'tcg');
    assert.throws(() => acceleratorOf('arm64', 'kvm'), Failure);
  });
});
