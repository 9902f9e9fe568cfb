import {execFileSync} from 'node:child_process';
import {existsSync, readFileSync} from 'node:fs';
import {basename, join} from 'node:path';
import {gunzipSync} from 'node:zlib';

/** A module ready for `insmod`: uncompressed, under a plain name. */
export interface ModuleFile {
  name: string;
  data: Buffer;
}

/**
 * Paths of the modules that must be loaded to have all of `names`, in loading order.
 *
 * A name that is not in the list is built into the kernel, or does not exist for it: both are left out.
 *
 * @param modulesDep text of `modules.dep`: per line a module, a colon, and all it depends on, nearest first
 */
export const loadOrder = (modulesDep: string, names: string[]): string[] => {
  const dependencies = new Map<string, string[]>();
  for (const line of modulesDep.split('\n')) {
    const [path, rest] = line.split(':', 2);
    if (!path || rest === undefined) continue;
    const needs = rest.split(' ').filter((word) => word !== '');
    dependencies.set(moduleName(path), [...needs.reverse(), path]);
  }
  return [...new Set(names.flatMap((name) => dependencies.get(moduleName(name)) ?? []))];
};

/** The modules of {@link loadOrder} read from `lib/modules/RELEASE`; none where that folder has no `modules.dep`. */
export const readModules = (folder: string, names: string[], busybox: string): ModuleFile[] => {
  const list = join(folder, 'modules.dep');
  if (!existsSync(list)) return [];
  return loadOrder(readFileSync(list, 'utf8'), names).map((path) => ({
    name: `${moduleName(path)}.ko`,
    data: uncompressed(join(folder, path), busybox),
  }));
};

/** Compressions of modules, and what kmod(8) calls them in `--version`. */
const COMPRESSIONS = {'.gz': 'ZLIB', '.xz': 'XZ', '.zst': 'ZSTD'} as const;

/**
 * Compressions of modules that a kmod cannot undo, such as `.gz`.
 *
 * @param modulesDep text of `modules.dep`
 * @param version what `modprobe --version` prints, such as `kmod version 30\n+ZSTD +XZ -ZLIB`
 */
export const unreadableCompressions = (modulesDep: string, version: string): string[] =>
  Object.entries(COMPRESSIONS)
    .filter(([suffix, feature]) => modulesDep.includes(`.ko${suffix}:`) && version.includes(`-${feature}`))
    .map(([suffix]) => suffix);

/** The kernel's own name of a module: hyphens and underscores are the same to modprobe, not to a comparison. */
const moduleName = (path: string): string =>
  basename(path)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');

const uncompressed = (path: string, busybox: string): Buffer => {
  const options = {maxBuffer: 64 * 1024 * 1024};
  if (path.endsWith('.xz')) return execFileSync(busybox, ['xz', '-dc', path], options);
  if (path.endsWith('.zst')) return execFileSync('zstd', ['-dcq', path], options);
  return path.endsWith('.gz') ? gunzipSync(readFileSync(path)) : readFileSync(path);
};
