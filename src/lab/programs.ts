import {accessSync, constants, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {Failure} from '../failure.js';
import {PT_INTERP, segmentsOf} from '../linux/proc/elf.js';
import {runChild} from './child.js';

/** Programs that the lab starts, and the Debian package that has each. */
const PACKAGES = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-system-aarch64': 'qemu-system-arm',
  busybox: 'busybox-static',
  modprobe: 'kmod',
  depmod: 'kmod',
} as const;

export type ProgramName = keyof typeof PACKAGES;

type Qemu = 'qemu-system-x86_64' | 'qemu-system-aarch64';

/** Full paths of the programs; `qemu` is that of the guest's architecture. */
export type Programs = Record<Exclude<ProgramName, Qemu> | 'qemu', string>;

export interface FindOptions {
  /** Default: that of x86-64. */
  qemu?: Qemu;
  /** Colon-separated folders; the system's own folders are looked into as well. */
  path: string;
  /** Install what is missing: Debian only, as root. */
  install: boolean;
  signal: AbortSignal | undefined;
  /** Gets one line about what takes long. */
  onNote: (line: string) => void;
}

/** Finds every program, and fails with all that are missing at once. */
export const findPrograms = async (options: FindOptions): Promise<Programs> => {
  const {path, install, qemu = 'qemu-system-x86_64'} = options;
  const names: ProgramName[] = [qemu, 'busybox', 'modprobe', 'depmod'];
  const missing = packagesOf(lookUp(names, path).missing);
  if (missing.length > 0 && install) await installPackages(missing, options);
  const {found, missing: still} = lookUp(names, path);
  if (still.length > 0) throw missingPrograms(still);
  const at = (name: ProgramName): string => found[name] ?? name;
  return {qemu: at(qemu), busybox: at('busybox'), modprobe: at('modprobe'), depmod: at('depmod')};
};

/** The full path of a program, or null. */
export const which = (name: string, path: string): string | null =>
  [...path.split(':'), '/usr/local/sbin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
    .filter((folder) => folder.startsWith('/'))
    .map((folder) => join(folder, name))
    .find((file) => isExecutable(file)) ?? null;

/** Whether an ELF program needs no loader and no libraries, so that it runs in an otherwise empty initramfs. */
export const isStatic = (elf: Buffer): boolean => {
  const segments = segmentsOf(elf);
  return segments !== null && !segments.some(({type}) => type === PT_INTERP);
};

const lookUp = (
  names: readonly ProgramName[],
  path: string,
): {found: Partial<Record<ProgramName, string>>; missing: ProgramName[]} => {
  const found: Partial<Record<ProgramName, string>> = {};
  const missing: ProgramName[] = [];
  for (const name of names) {
    const file = which(name, path);
    if (file !== null && (name !== 'busybox' || isStatic(readFileSync(file)))) found[name] = file;
    else missing.push(name);
  }
  return {found, missing};
};

const isExecutable = (file: string): boolean => {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

const packagesOf = (names: ProgramName[]): string[] => [...new Set(names.map((name) => PACKAGES[name]))];

const missingPrograms = (names: ProgramName[]): Failure => {
  const described = names.map((name) => (name === 'busybox' ? 'busybox (statically linked)' : name));
  return new Failure({
    code: 'LAB_PROGRAMS_MISSING',
    kind: 'cannotDecide',
    what: 'The lab cannot start on this host.',
    why: `It needs programs that are not installed: ${described.join(', ')}.`,
    hint: `Run "apt-get install --no-install-recommends ${packagesOf(names).join(' ')}" as root, or kvfio lab --install.`,
  });
};

const installPackages = async (packages: string[], {path, signal, onNote}: FindOptions): Promise<void> => {
  const aptGet = which('apt-get', path);
  if (aptGet === null || process.getuid?.() !== 0) {
    throw new Failure({
      code: 'LAB_CANNOT_INSTALL',
      kind: aptGet === null ? 'cannotDecide' : 'permission',
      what: `The packages ${packages.join(', ')} cannot be installed.`,
      why: aptGet === null ? 'This host has no apt-get.' : 'Installing packages needs root.',
      hint: `Install ${packages.join(', ')} (names of Debian) by the means of this host, then run kvfio lab again.`,
    });
  }
  onNote(`installing ${packages.join(', ')}`);
  await runApt(aptGet, ['update', '-q'], {signal, onNote});
  await runApt(aptGet, ['install', '-q', '-y', '--no-install-recommends', ...packages], {signal, onNote});
};

export interface AptOptions {
  /** Options before the arguments, which a failure does not repeat. */
  options?: readonly string[];
  signal?: AbortSignal | undefined;
  cwd?: string;
  /** Gets one line when another apt is waited for. */
  onNote?: (line: string) => void;
  /** Milliseconds that another apt is waited for. */
  patience?: number;
}

/**
 * Runs apt-get, whose output is shown only where it fails. While another apt holds a lock it is run again:
 * `DPkg::Lock::Timeout` has apt-get wait for the lock of dpkg, but not for those of its lists and archives (apt 2.6).
 */
export const runApt = async (
  aptGet: string,
  args: string[],
  {options = [], signal, cwd = '/', onNote = () => undefined, patience = 300_000}: AptOptions = {},
): Promise<void> => {
  const deadline = performance.now() + patience;
  for (let waited = false; ; waited = true) {
    const {code, stderr} = await runChild(aptGet, [...options, ...args], {signal, cwd});
    if (code === 0) return;
    const isLocked = /^E: (?:Could not get lock|Unable to acquire the dpkg frontend lock) /m.test(stderr);
    if (!isLocked || performance.now() > deadline) throw aptFailed(args, stderr);
    if (!waited) onNote('waiting for another apt to end');
    await sleep(1000);
  }
};

const aptFailed = (args: string[], stderr: string): Failure =>
  new Failure({
    code: 'LAB_APT_FAILED',
    kind: 'cannotDecide',
    what: `"apt-get ${args.join(' ')}" failed.`,
    why: stderr.trim() || 'It gave no reason.',
    hint: 'Repair what apt-get names, such as the network or the package sources, then run kvfio lab again.',
  });
