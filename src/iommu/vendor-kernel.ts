/** A vendor that takes code of newer kernels to the one that it keeps, so that the version of a release says how old it is at most. */
interface Family {
  name: string;
  release: RegExp;
}

/** Vendors' kernels by the form of their releases. The kernels of elrepo are not here: it builds what kernel.org has. */
const FAMILIES: readonly Family[] = [
  {name: 'RHEL 7', release: /^3\.10\.0-\d+(?:\.\w+)*?\.el7(?:_\d+)?(?:\.(?!elrepo)|$)/},
  {name: 'RHEL 8', release: /^4\.18\.0-\d+(?:\.\w+)*?\.el8(?:_\d+)?(?:\.(?!elrepo)|$)/},
  {name: 'RHEL 9', release: /^5\.14\.0-\d+(?:\.\w+)*?\.el9(?:_\d+)?(?:\.(?!elrepo)|$)/},
  {name: 'RHEL 10', release: /^6\.12\.0-\d+(?:\.\w+)*?\.el10(?:_\d+)?(?:\.(?!elrepo)|$)/},
  {name: 'Oracle UEK', release: /^\d+\.\d+\.\d+-\S*\.el\d+uek\b/},
  {
    name: 'SUSE Linux Enterprise',
    release: /^(?:4\.12\.14|5\.3\.18|5\.14\.21|6\.4\.0|6\.12\.0)-\d+(?:\.\d+)+-[a-z]/,
  },
  // what was first delivered of it, and Leap; Tumbleweed counts its builds of one version from 1
  {name: 'SUSE Linux Enterprise', release: /^(?:4\.12\.14|5\.3\.18)-(?:\d{2,}|lp15\d(?:\.\d+)+)-[a-z]/},
  {name: 'openEuler', release: /^\d+\.\d+\.\d+-\S*\.oe\d/},
  {name: 'EulerOS', release: /^\d+\.\d+\.\d+-\S*\.(?:hce\d|eulerosv\d)/},
  {name: 'Kylin', release: /^\d+\.\d+\.\d+-\S*\.ky\d/},
  {name: 'Anolis OS', release: /^\d+\.\d+\.\d+-\S*\.an\d+\b/},
  {name: 'Alibaba Cloud Linux', release: /^\d+\.\d+\.\d+-\S*\.al(?:nx)?\d+\b/},
  {name: 'TencentOS', release: /^(?:\d+\.\d+\.\d+-\S*(?:\.tl\d|[.-]tlinux\d)|5\.4\.119-\d+\.\d+)/},
  {name: 'NVIDIA of Ubuntu', release: /^\d+\.\d+\.\d+-\d+-nvidia\b/},
];

/** The family that a kernel is of, by its release; null where its version means what it says, as that of Debian's and
 * Ubuntu's, of which the kernels for newer hardware (HWE) are whole newer versions. */
export const vendorOf = (release: string | null): string | null =>
  release === null ? null : (FAMILIES.find((family) => family.release.test(release))?.name ?? null);
