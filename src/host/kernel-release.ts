/** Major and minor version of a kernel. The stable number is apart, see {@link stableNumber}: distributions' release names hide it. */
export interface KernelVersion {
  major: number;
  minor: number;
}

/** `{major: 6, minor: 1}` for `6.1.0-56-amd64`; null where the text does not start with a version. */
export const parseKernelRelease = (release: string): KernelVersion | null => {
  const match = /^(\d{1,4})\.(\d{1,4})(?![\d])/.exec(release);
  return match === null ? null : {major: Number(match[1]), minor: Number(match[2])};
};

/** Whether `version` is `major.minor` or newer. */
export const isAtLeast = (version: KernelVersion, major: number, minor: number): boolean =>
  version.major > major || (version.major === major && version.minor >= minor);

/**
 * 192 of `6.1.192`, by the release, and by /proc/version where the release hides it: that of `6.1.0-56-amd64` says
 * "… Debian 6.1.192-2 …". Null where neither says more than 0.
 */
export const stableNumber = (release: string, procVersion: string | null): number | null => {
  const version = parseKernelRelease(release);
  if (version === null) return null;
  const text = `${release} ${withoutBuilder(procVersion ?? '')}`;
  const pattern = new RegExp(`(?<![\\d.])${version.major}\\.${version.minor}\\.(\\d{1,4})(?!\\d)`, 'g');
  return Math.max(0, ...[...text.matchAll(pattern)].map(([, number]) => Number(number))) || null;
};

/** Text of /proc/version without the user, the host and the compiler that built the kernel. */
export const withoutBuilder = (procVersion: string): string => procVersion.replace(/ \(.*\) (?=#)/, ' ');
