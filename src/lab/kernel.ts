import {accessSync, constants, existsSync} from 'node:fs';
import {release as runningRelease} from 'node:os';
import {dirname, join, resolve} from 'node:path';
import {Failure} from '../failure.js';
import {debianKernel, type KernelSource} from './debian-kernel.js';
import {readKernelImageVersion} from './kernel-image.js';
import type {LabKernel} from './lab-kernel.js';

/**
 * Finds the kernel that `--kernel` names.
 *
 * @param choice `host`, a series such as `6.12`, or the path of an image; absent, the host's own kernel where its
 *   files can be read, else the distribution's default one
 */
export const resolveKernel = async (choice: string | undefined, source: KernelSource): Promise<LabKernel> => {
  if (choice === undefined) return hostKernel() ?? (await debianKernel(null, source));
  if (choice === 'host') return hostKernel() ?? fail(noHostKernel());
  if (/^\d+\.\d+$/.test(choice)) return await debianKernel(choice, source);
  if (choice.includes('/') || existsSync(choice)) return kernelAt(resolve(choice));
  throw new Failure({
    code: 'LAB_KERNEL_VALUE',
    kind: 'usage',
    what: `--kernel does not know "${choice}".`,
    why: 'It takes "host", a series such as 6.1 or 6.12, or the path of a kernel image.',
    hint: 'For an image in the current folder write ./ before its name.',
  });
};

/** The running kernel, or null where its image or its modules cannot be read. */
export const hostKernel = (root = '/', release = runningRelease()): LabKernel | null => {
  const modules = join(root, 'lib/modules', release);
  const image = [join(root, 'boot', `vmlinuz-${release}`), join(modules, 'vmlinuz')].find(isReadable);
  return image !== undefined && isReadable(join(modules, 'modules.dep')) ? {release, image, modules} : null;
};

/** A kernel by the path of its image; its modules are taken from beside it or from the host where they are there. */
export const kernelAt = (image: string): LabKernel => {
  const version = imageVersion(image);
  const release = version.split(' ')[0] ?? version;
  const modules = [join(dirname(image), '../lib/modules', release), join('/lib/modules', release)].find(
    (folder) => isReadable(join(folder, 'modules.dep')),
  );
  return {release, image, modules: modules ?? null};
};

const imageVersion = (image: string): string => {
  let version: string | null;
  try {
    version = readKernelImageVersion(image);
  } catch (error) {
    throw unreadableImage(image, (error as NodeJS.ErrnoException).code ?? 'EIO');
  }
  return version ?? fail(notAnImage(image));
};

const isReadable = (path: string): boolean => {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
};

const fail = (failure: Failure): never => {
  throw failure;
};

const unreadableImage = (image: string, errno: string): Failure =>
  new Failure({
    code: 'LAB_KERNEL_UNREADABLE',
    kind:
      errno === 'ENOENT' || errno === 'ENOTDIR' ? 'notFound' : errno === 'EISDIR' ? 'usage' : 'permission',
    what: `The kernel image ${image} cannot be read.`,
    why: `Opening it gave ${errno}.`,
    hint: 'Give the path of a bzImage that this user may read, such as /boot/vmlinuz-RELEASE.',
    errno,
  });

const notAnImage = (image: string): Failure =>
  new Failure({
    code: 'LAB_NOT_A_KERNEL',
    kind: 'usage',
    what: `${image} is not a kernel image.`,
    why: 'It does not carry the mark of the x86 boot protocol ("HdrS" at byte 0x202).',
    hint: 'Give a bzImage, such as /boot/vmlinuz-RELEASE or arch/x86/boot/bzImage of a build; vmlinux does not boot here.',
  });

const noHostKernel = (): Failure =>
  new Failure({
    code: 'LAB_NO_HOST_KERNEL',
    kind: 'notFound',
    what: "The host's own kernel cannot be booted in the lab.",
    why: `/boot/vmlinuz-${runningRelease()} or /lib/modules/${runningRelease()}/modules.dep is missing or not readable.`,
    hint: 'Leave --kernel out or choose a series such as "--kernel 6.1": the lab then downloads a package.',
  });
