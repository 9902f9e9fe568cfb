import {existsSync, readdirSync, renameSync, rmSync, symlinkSync} from 'node:fs';
import {join} from 'node:path';
import {Failure} from '../failure.js';
import {runChild} from './child.js';
import {candidates, dependencyOf, newestFirst, seriesAmong, seriesOf} from './debian-packages.js';
import type {LabKernel} from './lab-kernel.js';
import {runApt, which, type Programs} from './programs.js';
import {temporaryFolder, removeStale} from './scratch.js';

export interface KernelSource {
  /** Folder where unpacked packages are kept. */
  cache: string;
  /** The PATH in which apt's programs are looked up. */
  path: string;
  programs: Programs;
  /** May the package lists be fetched where there are none? */
  install: boolean;
  signal: AbortSignal | undefined;
  /** Told one line about what takes long. */
  onNote: (line: string) => void;
}

/**
 * The distribution's kernel of a series such as `6.12`, or with `series` null its default one. The package is
 * downloaded and unpacked under the cache folder unless it is there, and never installed.
 */
export const debianKernel = async (series: string | null, source: KernelSource): Promise<LabKernel> => {
  removeStale(source.cache);
  const wanted = (await currentPackage(series, source)) ?? newestUnpacked(series, source.cache);
  if (wanted === null) throw noPackages(series);
  const tree = join(source.cache, wanted);
  if (!existsSync(tree)) await unpack(wanted, tree, source);
  return kernelIn(tree);
};

/** `PACKAGE_VERSION` of the newest package that apt can download, or null where apt knows no kernels at all. */
const currentPackage = async (series: string | null, source: KernelSource): Promise<string | null> => {
  const aptCache = which('apt-cache', source.path);
  const aptGet = which('apt-get', source.path);
  if (aptCache === null || aptGet === null) return null;
  const ask = async (...args: string[]) => (await runChild(aptCache, args, {signal: source.signal})).stdout;

  let names = (await ask('pkgnames', 'linux-image-')).split('\n');
  if (seriesAmong(names).length === 0 && source.install) {
    await runApt(aptGet, ['update', '-q'], source.signal);
    names = (await ask('pkgnames', 'linux-image-')).split('\n');
  }
  if (seriesAmong(names).length === 0) return null;

  const meta = series === null ? dependencyOf(await ask('depends', 'linux-image-amd64')) : null;
  const wanted = series ?? (meta === null ? seriesAmong(names)[0] : seriesOf(meta)) ?? '';
  const ranked = meta === null ? newestFirst(names, wanted) : [meta, `${meta}-unsigned`];
  if (ranked.length === 0) throw unknownSeries(wanted, seriesAmong(names));
  const versions = candidates(await ask('policy', ...ranked));
  const name = ranked.find((candidate) => versions.has(candidate));
  if (name === undefined) throw unknownSeries(wanted, seriesAmong(names));
  return `${name}_${versions.get(name) ?? ''}`;
};

const newestUnpacked = (series: string | null, cache: string): string | null => {
  const trees = readdirSync(cache).filter((entry) => entry.startsWith('linux-image-'));
  const names = trees.map((tree) => tree.replace(/_.*/, ''));
  const wanted = series ?? seriesAmong(names)[0];
  const newest = wanted === undefined ? undefined : newestFirst(names, wanted)[0];
  return trees.find((tree) => tree.replace(/_.*/, '') === newest) ?? null;
};

const unpack = async (wanted: string, tree: string, source: KernelSource): Promise<void> => {
  const {cache, path, programs, signal} = source;
  source.onNote(`downloading ${wanted.replace('_', ' ')} into ${cache}`);
  const work = temporaryFolder(cache);
  try {
    const unpacked = join(work, 'tree');
    await runApt(
      which('apt-get', path) ?? 'apt-get',
      ['download', '-q', wanted.replace('_', '=')],
      signal,
      work,
    );
    const file = readdirSync(work).find((entry) => entry.endsWith('.deb')) ?? '';
    await step(which('dpkg-deb', path) ?? 'dpkg-deb', ['-x', join(work, file), unpacked], signal);
    if (!existsSync(join(unpacked, 'lib'))) symlinkSync('usr/lib', join(unpacked, 'lib'));
    // the guest would take seconds to decompress what it loads
    const modules = ['lib/modules', '-name', '*.ko.xz', '-exec', programs.busybox, 'unxz', '{}', '+'];
    await step(programs.busybox, ['find', ...modules], signal, unpacked);
    await step(programs.depmod, ['-b', unpacked, kernelIn(unpacked).release], signal);
    publish(unpacked, tree);
  } finally {
    rmSync(work, {recursive: true, force: true});
  }
};

/** Another kvfio may have unpacked the same package meanwhile; its tree is as good. */
const publish = (unpacked: string, tree: string): void => {
  try {
    renameSync(unpacked, tree);
  } catch (error) {
    if (!existsSync(tree)) throw error;
  }
};

const kernelIn = (tree: string): LabKernel => {
  const release = readdirSync(join(tree, 'lib/modules'))[0] ?? '';
  return {
    release,
    image: join(tree, 'boot', `vmlinuz-${release}`),
    modules: join(tree, 'lib/modules', release),
  };
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

const unknownSeries = (series: string, known: string[]): Failure =>
  new Failure({
    code: 'LAB_NO_KERNEL_PACKAGE',
    kind: 'notFound',
    what: `There is no package of Linux ${series}.`,
    why: `The distribution's package lists have ${known.map((name) => `Linux ${name}`).join(', ')}.`,
    hint: `Choose one of them with --kernel, such as "--kernel ${known[0] ?? 'host'}", or give an image's path.`,
  });
