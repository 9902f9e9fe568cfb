import {accessSync, constants, existsSync, readdirSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import {Failure} from '../failure.js';
import {readKernelImageVersion} from './kernel-image.js';
import type {LabKernel} from './lab-kernel.js';

/** Where a file tree has its modules: `lib` of Debian 11 and 12, `usr/lib` of newer ones. */
const MODULE_FOLDERS = ['lib/modules', 'usr/lib/modules'];

/** Where a build of the kernel leaves its image. */
const BUILT_IMAGE = 'arch/x86/boot/bzImage';

/**
 * The kernel in a file tree: what `dpkg -x` or an installation leaves, or a build.
 *
 * @throws Failure where the tree has no image, or several kernels
 */
export const kernelIn = (tree: string): LabKernel => {
  const kernels = new Map(imagesIn(tree).map((image) => [releaseOf(image), image]));
  const [first] = kernels;
  if (first === undefined) throw noImage(tree);
  if (kernels.size > 1) throw severalKernels(tree, [...kernels.values()]);
  const [release, image] = first;
  return withModules(
    release,
    image,
    MODULE_FOLDERS.map((folder) => join(tree, folder, release)),
  );
};

/** A kernel by the path of its image; its modules are taken from around it or from the host where they are there. */
export const kernelAt = (image: string): LabKernel => {
  const release = releaseOf(image);
  const folder = dirname(image);
  const isAmongModules = basename(folder) === release;
  return withModules(
    release,
    image,
    isAmongModules ? [folder] : MODULE_FOLDERS.map((modules) => join(folder, '..', modules, release)),
  );
};

/** The running kernel, or null where its image or the index of its modules cannot be read. */
export const hostKernel = (root: string, release: string): LabKernel | null => {
  const modules = join(root, 'lib/modules', release);
  const image = [join(root, 'boot', `vmlinuz-${release}`), join(modules, 'vmlinuz')].find(isReadable);
  return image !== undefined && isReadable(join(modules, 'modules.dep'))
    ? {release, image, modules, searched: [modules]}
    : null;
};

const imagesIn = (tree: string): string[] => [
  ...entriesOf(join(tree, 'boot'))
    .filter((name) => name.startsWith('vmlinuz'))
    .map((name) => join(tree, 'boot', name)),
  ...[
    ...MODULE_FOLDERS.flatMap((folder) =>
      entriesOf(join(tree, folder)).map((release) => join(tree, folder, release, 'vmlinuz')),
    ),
    join(tree, BUILT_IMAGE),
  ].filter((image) => existsSync(image)),
];

const withModules = (release: string, image: string, folders: string[]): LabKernel => {
  const searched = [...new Set([...folders, join('/lib/modules', release)])];
  return {release, image, modules: searched.find(hasModules) ?? null, searched};
};

const hasModules = (folder: string): boolean =>
  ['modules.dep', 'kernel'].some((name) => isReadable(join(folder, name)));

const releaseOf = (image: string): string => {
  let version: string | null;
  try {
    version = readKernelImageVersion(image);
  } catch (error) {
    throw unreadableImage(image, (error as NodeJS.ErrnoException).code ?? 'EIO');
  }
  if (version === null) throw notAnImage(image);
  return version.split(' ')[0] ?? version;
};

const entriesOf = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);

const isReadable = (path: string): boolean => {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
};

const unreadableImage = (image: string, errno: string): Failure =>
  new Failure({
    code: 'LAB_KERNEL_UNREADABLE',
    kind: errno === 'ENOENT' || errno === 'ENOTDIR' ? 'notFound' : 'permission',
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

const noImage = (tree: string): Failure =>
  new Failure({
    code: 'LAB_KERNEL_UNREADABLE',
    kind: 'notFound',
    what: `The folder ${tree} has no kernel image.`,
    why: `The lab looks for boot/vmlinuz*, ${MODULE_FOLDERS.map((folder) => `${folder}/*/vmlinuz`).join(', ')} and ${BUILT_IMAGE} in it.`,
    hint: 'Give a folder into which "dpkg -x" unpacked a kernel package (of a split one all parts), or the path of an image.',
  });

const severalKernels = (tree: string, images: string[]): Failure =>
  new Failure({
    code: 'LAB_SEVERAL_KERNELS',
    kind: 'usage',
    what: `The folder ${tree} has several kernels.`,
    why: `Their images are ${images.join(', ')}.`,
    hint: 'Give the path of one image with --kernel.',
  });
