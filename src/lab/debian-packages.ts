/** `linux-image-6.1.0-56-amd64`, `linux-image-6.12.117+deb12-arm64`; not the cloud and real-time flavours. */
const IMAGE_PACKAGE =
  /^linux-image-(\d+\.\d+)\.\d+(?:[-+](?!rt-|cloud-)[a-z0-9]+)?-(?:amd64|arm64)(-unsigned)?$/;

/** The series of a kernel package, such as `6.12`, or null where the name is of no plain kernel image. */
export const seriesOf = (packageName: string): string | null => IMAGE_PACKAGE.exec(packageName)?.[1] ?? null;

/** Kernel packages of one series, newest first; of two equal ones the signed comes first. */
export const newestFirst = (packageNames: string[], series: string): string[] =>
  packageNames
    .filter((name) => seriesOf(name) === series)
    .sort((a, b) => compareNumbers(b, a) || compare(a, b));

/** All series among kernel packages, newest first. */
export const seriesAmong = (packageNames: string[]): string[] =>
  [...new Set(packageNames.flatMap((name) => seriesOf(name) ?? []))].sort((a, b) => compareNumbers(b, a));

/** The version that apt would install by package, from the text of `apt-cache policy`. */
export const packageCandidates = (policy: string): Map<string, string> => {
  const versions = new Map<string, string>();
  for (const block of policy.split(/^(?=\S)/m)) {
    const [, name, version] = /^(\S+):\n(?:.*\n)*?\s+Candidate: (\S+)/.exec(block) ?? [];
    if (name !== undefined && version !== undefined && version !== '(none)') versions.set(name, version);
  }
  return versions;
};

/** What a meta package stands for, from the text of `apt-cache depends`. */
export const dependencyOf = (depends: string): string | null =>
  /^\s*Depends: (linux-image-\S+)$/m.exec(depends)?.[1] ?? null;

/** Packages that hold parts of a split kernel package, from the text of `apt-cache depends` of it (Debian since 7.2). */
export const partsAmong = (depends: string): string[] =>
  [...depends.matchAll(/^ +Depends: (linux-(?:base|binary|modules)-\d\S*)$/gm)].map(([, name = '']) => name);

const compareNumbers = (a: string, b: string): number => {
  const [left, right] = [numbers(a), numbers(b)];
  const index = left.findIndex((number, position) => number !== right[position]);
  return index === -1 ? 0 : (left[index] ?? 0) - (right[index] ?? 0);
};

const numbers = (text: string): number[] => (text.match(/\d+/g) ?? []).map(Number);

const compare = (a: string, b: string): number => (a < b ? -1 : Number(a > b));
