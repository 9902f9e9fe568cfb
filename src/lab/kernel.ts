import {existsSync, readFileSync, statSync} from 'node:fs';
import {release as runningRelease} from 'node:os';
import {join, resolve} from 'node:path';
import {Failure} from '../failure.js';
import {runChild} from './child.js';
import {debianKernel, type FoundKernel, type KernelSource} from './debian-kernel.js';
import {hostKernel, kernelAt, kernelIn} from './kernel-tree.js';
import type {LabKernel} from './lab-kernel.js';
import {indexed} from './module-index.js';
import {unreadableCompressions} from './modules.js';
import type {Programs} from './programs.js';

/**
 * Finds the kernel that `--kernel` names, with no program of the lab. Its modules, where it has any, then get a `modules.dep`
 * that modprobe reads.
 *
 * @param choice `host`, a series such as `6.12`, or the path of an image or a file tree; absent, the host's own kernel where
 *   its files can be read, else the distribution's default one
 * @throws {@link Failure} when there is no such kernel
 */
export const findKernel = async (choice: string | undefined, source: KernelSource): Promise<FoundKernel> => {
  const found = await find(choice, source);
  return async (programs) => {
    const kernel = await indexed(await found(programs), {...source, programs});
    if (kernel.modules !== null) await refuseUnreadable(kernel.modules, programs);
    return kernel;
  };
};

const find = async (choice: string | undefined, source: KernelSource): Promise<FoundKernel> => {
  const host = source.arch === 'amd64' ? hostKernel('/', runningRelease()) : null;
  if (choice === undefined) return host === null ? await debianKernel(null, source) : there(host);
  if (choice === 'host') {
    if (host === null) throw noHostKernel();
    return there(host);
  }
  if (isSeries(choice)) return await debianKernel(choice, source);
  if (choice.includes('/') || existsSync(choice)) return there(kernelOf(resolve(choice)));
  throw unknownWord(choice);
};

const there =
  (kernel: LabKernel): FoundKernel =>
  () =>
    Promise.resolve(kernel);

/**
 * What can be said of a value of `--kernel` before anything is looked for.
 *
 * @throws {@link Failure}: usage when it is not a choice, notFound when it is a path that does not exist
 */
export const checkKernelWord = (choice: string | undefined): void => {
  if (choice === undefined || choice === 'host' || isSeries(choice)) return;
  if (!choice.includes('/') && !existsSync(choice)) throw unknownWord(choice);
  kernelOf(resolve(choice));
};

const isSeries = (choice: string): boolean => /^\d+\.\d+$/.test(choice);

const unknownWord = (choice: string): Failure =>
  new Failure({
    code: 'LAB_KERNEL_VALUE',
    kind: 'usage',
    what: `--kernel does not know "${choice}".`,
    why: 'It takes "host", a series such as 5.10 or 6.12, or the path of a kernel image or of an unpacked kernel package.',
    hint: 'For an image or a folder in the current folder write ./ before its name.',
  });

const kernelOf = (path: string): LabKernel =>
  statSync(path, {throwIfNoEntry: false})?.isDirectory() ? kernelIn(path) : kernelAt(path);

/** The guest's modprobe is the host's, and the kernel does not always decompress a module itself. */
const refuseUnreadable = async (modules: string, {modprobe}: Programs): Promise<void> => {
  const {stdout} = await runChild(modprobe, ['--version']);
  const [unreadable] = unreadableCompressions(readFileSync(join(modules, 'modules.dep'), 'utf8'), stdout);
  if (unreadable === undefined) return;
  throw new Failure({
    code: 'LAB_MODULE_COMPRESSION',
    kind: 'cannotDecide',
    what: `The modules in ${modules} cannot be loaded in the guest.`,
    why: `They are compressed as .ko${unreadable}, which ${modprobe} does not read.`,
    hint: 'Decompress them, run "depmod -b FOLDER RELEASE", and give that folder with --kernel.',
  });
};

const noHostKernel = (): Failure =>
  new Failure({
    code: 'LAB_NO_HOST_KERNEL',
    kind: 'notFound',
    what: "The host's own kernel cannot be booted in the lab.",
    why: `/boot/vmlinuz-${runningRelease()} or /lib/modules/${runningRelease()}/modules.dep is missing or not readable.`,
    hint: 'Leave --kernel out or choose a series such as "--kernel 6.1": the lab then downloads a package.',
  });
