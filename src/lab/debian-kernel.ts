import {existsSync, readdirSync, rmSync, symlinkSync} from 'node:fs';
import {join} from 'node:path';
import {Failure} from '../failure.js';
import {alone} from './alone.js';
import {Apt} from './apt.js';
import type {LabArch} from './arch.js';
import {runChild} from './child.js';
import {
  packageCandidates,
  dependencyOf,
  newestFirst,
  partsAmong,
  seriesAmong,
  seriesOf,
} from './debian-packages.js';
import {kernelIn} from './kernel-tree.js';
import type {LabKernel} from './lab-kernel.js';
import {publish} from './module-index.js';
import {otherSuites} from './other-suites.js';
import {which, type Programs} from './programs.js';
import {removeStale, temporaryFolder} from './scratch.js';

export interface KernelSource {
  arch: LabArch;
  /** Folder where unpacked packages are kept. */
  cache: string;
  /** The PATH in which apt's programs are looked up. */
  path: string;
  /** Whether the package lists may be fetched where there are none. */
  install: boolean;
  signal: AbortSignal | undefined;
  /** Receives one line on what takes long. */
  onNote: (line: string) => void;
}

/** A kernel that is there to be had. Downloading and unpacking it takes the programs of the lab, which a host may lack. */
export type FoundKernel = (programs: Programs) => Promise<LabKernel>;

/** A kernel package that apt can download. */
interface KernelPackage {
  name: string;
  version: string;
}

/**
 * The distribution's kernel of a series such as `6.12`, or with `series` null its default one. A series that the host's apt does not
 * have comes from another suite of the distribution. The packages are downloaded and unpacked under the cache folder unless
 * they are there, and never installed.
 */
export const debianKernel = async (series: string | null, source: KernelSource): Promise<FoundKernel> => {
  removeStale(source.cache);
  const host = await aptFor(source);
  const names = host === null ? [] : await kernelNames(host, source.install);
  const ofHost = host === null ? null : await newestPackage(series, names, host, source.arch);
  if (host !== null && ofHost !== null) return unpacking(ofHost, host, source);
  const kept = newestUnpacked(series, source.cache);
  if (kept !== null) return () => Promise.resolve(kernelIn(join(source.cache, kept)));
  // the lists of another architecture have all suites already
  if (host === null || series === null || source.arch !== 'amd64') throw noPackages(series);
  return await ofOtherSuite(series, {host, known: names, source});
};

interface Elsewhere {
  host: Apt;
  /** Names of the host's own kernel packages. */
  known: string[];
  source: KernelSource;
}

/** The host's apt, or for another architecture the same programs with lists of that one, which are fetched once. */
export const aptFor = async (source: KernelSource): Promise<Apt | null> => {
  const {arch, cache} = source;
  const host = Apt.ofHost(source);
  if (host === null || arch === 'amd64') return host;
  const folder = join(cache, 'apt');
  const fresh = existsSync(join(folder, 'lists/lock'));
  const apt = await otherSuites(host, folder, arch);
  if (apt !== null && !fresh)
    await alone(source, async () => {
      source.onNote(`asking Debian for packages of ${arch}`);
      await apt.update();
    });
  return apt;
};

const ofOtherSuite = async (series: string, {host, known, source}: Elsewhere): Promise<FoundKernel> => {
  const updated = await alone(source, async () => {
    const apt = await otherSuites(host, join(source.cache, 'apt'));
    if (apt === null) return null;
    source.onNote(`asking other suites of Debian for Linux ${series}`);
    const failure = await apt.update().then(
      () => null,
      (error: unknown) => error as Error,
    );
    return {apt, failure};
  });
  if (updated === null) throw unknownSeries(series, seriesAmong(known));
  const names = await kernelNames(updated.apt, false);
  const found = await newestPackage(series, names, updated.apt, source.arch);
  // a mirror may lack one of the suites; only one that was wanted is missed
  if (found === null) throw updated.failure ?? unknownSeries(series, seriesAmong([...known, ...names]));
  return unpacking(found, updated.apt, source);
};

/** Names of packages, kernels among them; where apt has no lists they are fetched if that is allowed. */
const kernelNames = async (apt: Apt, install: boolean): Promise<string[]> => {
  const ask = async (): Promise<string[]> => (await apt.ask('pkgnames', 'linux-image-')).split('\n');
  const names = await ask();
  if (seriesAmong(names).length > 0 || !install) return names;
  await apt.update();
  return await ask();
};

/** The newest package of the series, or with `series` null the default one; null where apt has none. */
const newestPackage = async (
  series: string | null,
  names: string[],
  apt: Apt,
  arch: LabArch,
): Promise<KernelPackage | null> => {
  const meta = series === null ? dependencyOf(await apt.ask('depends', `linux-image-${arch}`)) : null;
  const wanted = series ?? (meta === null ? seriesAmong(names)[0] : seriesOf(meta)) ?? '';
  const ranked = meta === null ? newestFirst(names, wanted) : [meta, `${meta}-unsigned`];
  if (ranked.length === 0) return null;
  const versions = packageCandidates(await apt.ask('policy', ...ranked));
  const name = ranked.find((candidate) => versions.has(candidate));
  return name === undefined ? null : {name, version: versions.get(name) ?? ''};
};

const newestUnpacked = (series: string | null, cache: string): string | null => {
  const trees = readdirSync(cache).filter((entry) => entry.startsWith('linux-image-'));
  const names = trees.map((tree) => tree.replace(/_.*/, ''));
  const wanted = series ?? seriesAmong(names)[0];
  const newest = wanted === undefined ? undefined : newestFirst(names, wanted)[0];
  return trees.find((tree) => tree.replace(/_.*/, '') === newest) ?? null;
};

const unpacking =
  (wanted: KernelPackage, apt: Apt, source: KernelSource): FoundKernel =>
  async (programs) =>
    kernelIn(await unpacked(wanted, apt, {...source, programs}));

type UnpackSource = KernelSource & {programs: Programs};

/** The folder into which the package is unpacked. */
const unpacked = async (wanted: KernelPackage, apt: Apt, source: UnpackSource): Promise<string> => {
  const tree = join(source.cache, `${wanted.name}_${wanted.version}`);
  const unpackOnce = async (): Promise<void> => {
    if (!existsSync(tree)) await unpack(wanted, tree, {apt, source});
  };
  if (!existsSync(tree)) await alone(source, unpackOnce);
  return tree;
};

const unpack = async (
  wanted: KernelPackage,
  tree: string,
  {apt, source}: {apt: Apt; source: UnpackSource},
): Promise<void> => {
  const {cache, path, programs, signal} = source;
  source.onNote(`downloading ${wanted.name} ${wanted.version} into ${cache}`);
  const work = temporaryFolder(cache);
  try {
    const made = join(work, 'tree');
    await apt.download(await withParts(wanted, apt), work);
    const dpkgDeb = which('dpkg-deb', path) ?? 'dpkg-deb';
    for (const file of readdirSync(work).filter((entry) => entry.endsWith('.deb')))
      await step(dpkgDeb, ['-x', join(work, file), made], signal);
    if (!existsSync(join(made, 'lib'))) symlinkSync('usr/lib', join(made, 'lib'));
    // the guest would take seconds to decompress what it loads
    const modules = ['lib/modules/', '-name', '*.ko.xz', '-exec', programs.busybox, 'unxz', '{}', '+'];
    await step(programs.busybox, ['find', ...modules], signal, made);
    await step(programs.depmod, ['-b', made, kernelIn(made).release], signal);
    publish(made, tree);
  } finally {
    rmSync(work, {recursive: true, force: true});
  }
};

/** `NAME=VERSION` of the package and of those that hold its image and its modules where it is split. */
const withParts = async ({name, version}: KernelPackage, apt: Apt): Promise<string[]> => {
  const parts = partsAmong(await apt.ask('depends', name));
  const versions =
    parts.length === 0 ? new Map<string, string>() : packageCandidates(await apt.ask('policy', ...parts));
  return [`${name}=${version}`, ...[...versions].map(([part, partVersion]) => `${part}=${partVersion}`)];
};

const step = async (
  program: string,
  args: string[],
  signal: AbortSignal | undefined,
  cwd = '/',
): Promise<void> => {
  const {code, stderr} = await runChild(program, args, {signal, cwd});
  if (code === 0) return;
  throw new Failure({
    code: 'LAB_UNPACK_FAILED',
    kind: 'cannotDecide',
    what: `"${program} ${args.join(' ')}" failed.`,
    why: stderr.trim() || 'It gave no reason.',
    hint: 'Make sure that the cache folder has 1 GB of free space, then run kvfio lab again.',
  });
};

const noPackages = (series: string | null): Failure =>
  new Failure({
    code: 'LAB_NO_PACKAGE_LISTS',
    kind: 'notFound',
    what: `No kernel package${series === null ? '' : ` of Linux ${series}`} was found for the lab.`,
    why: "The package manager's lists name no kernel, and none was unpacked earlier.",
    hint: 'Run "apt-get update" as root (kvfio lab --install does), or give a kernel image with --kernel PATH.',
  });

const unknownSeries = (series: string, [first, ...others]: string[]): Failure =>
  first === undefined
    ? noPackages(series)
    : new Failure({
        code: 'LAB_NO_KERNEL_PACKAGE',
        kind: 'notFound',
        what: `There is no package of Linux ${series}.`,
        why: `The distribution's package lists have ${[first, ...others].map((name) => `Linux ${name}`).join(', ')}.`,
        hint: `Choose one of them with --kernel, such as "--kernel ${first}", or give an image's path.`,
      });
