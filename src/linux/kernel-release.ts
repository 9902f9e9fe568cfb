/** Major and minor version of a kernel. The stable number is left out: distributions' release names hide it. */
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
