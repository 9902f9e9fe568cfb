import type {CoherencyRule} from '../../iommu/coherency-rule.js';
import type {Confidence, Verdict} from '../../iommu/snoop-control.js';

/** What KVM learns of a file when it looks at it. */
export interface FileCoherency {
  verdict: Verdict;
  confidence: Confidence;
}

/** Something with a verdict on its IOMMU: a group, or a device. */
interface Judged {
  snoopControl: FileCoherency;
}

/**
 * What a group is in: no container, one with the type 1 IOMMU driver, or one that has no IOMMU driver yet
 * (before VFIO_SET_IOMMU).
 */
export type GroupContainer = 'none' | 'type1' | 'no-driver' | 'unknown';

/**
 * What KVM learns of a group by the rule of this kernel, given the container that the group is in
 * (vfio_file_enforced_coherent in drivers/vfio/vfio_main.c; since 6.2 vfio_group_enforced_coherent in group.c).
 */
export const groupCoherency = (
  {snoopControl: {verdict, confidence}}: Judged,
  rule: CoherencyRule,
  container: GroupContainer,
): FileCoherency => {
  if (rule === 'devices') return {verdict, confidence};
  switch (container) {
    case 'none':
      // no domain that could be incoherent; before 5.19 KVM does not take such a group
      return {verdict: 'enforced', confidence: 'exact'};
    case 'type1':
      return {verdict, confidence};
    case 'no-driver':
      // vfio_iommu_type1_check_extension() without an instance has no domain to vouch for
      return {verdict: 'not-enforced', confidence: 'exact'};
    case 'unknown':
      return {verdict: 'unknown', confidence: 'none'};
  }
};

/**
 * What KVM learns of a group whose last device has left VFIO: none is left that could be incoherent, neither in the group
 * nor, since it has left its container with it, in that.
 */
export const deadGroupCoherency = (rule: CoherencyRule): FileCoherency =>
  rule === 'all-units'
    ? {verdict: 'unknown', confidence: 'none'}
    : {verdict: 'enforced', confidence: 'exact'};

/** What KVM learns of a device by its cdev: its own (vfio_file_enforced_coherent in drivers/vfio/vfio_main.c, since 6.6). */
export const deviceCoherency = ({snoopControl: {verdict, confidence}}: Judged): FileCoherency => ({
  verdict,
  confidence,
});
