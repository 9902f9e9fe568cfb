import {readFileSync} from 'node:fs';
import {cpioArchive, type ArchiveEntry} from './cpio.js';
import {FIRST_STAGE, SECOND_STAGE} from './guest-scripts.js';
import type {LabKernel} from './lab-kernel.js';
import {readModules} from './modules.js';
import {shellAssignments} from './shell-quote.js';

/** What the kernel needs before it can see the host's file tree. An IOMMU's driver must precede the devices'. */
const EARLY_MODULES = ['virtio_pci', 'virtio_iommu', '9pnet_virtio', '9p'];

export interface InitrdParts {
  kernel: LabKernel;
  /** Path of a busybox of this machine. */
  busybox: string;
  /** Path of a statically linked busybox of the guest's architecture. */
  guestBusybox: string;
  /** Variables of guest-scripts.ts. */
  settings: Record<string, string>;
  /** ACPI tables by signature. */
  tables: Readonly<Record<string, Buffer>>;
  /** Further files of the guest's folder, by name. */
  files: Record<string, string>;
}

/** The initramfs of the guest. It is small and not compressed, which boots faster than a compressed one. */
export const initrd = ({kernel, busybox, guestBusybox, tables, settings, files}: InitrdParts): Buffer => {
  const early = [...EARLY_MODULES, ...(settings['layer'] ? ['overlay'] : [])];
  const modules = kernel.modules === null ? [] : readModules(kernel.modules, early, busybox);
  const folders = [
    'bin',
    'dev',
    'host',
    'kernel',
    'kernel/firmware',
    ACPI,
    'layer',
    'under',
    'lab',
    'lab/bin',
    'modules',
    'proc',
    'sys',
  ];
  return cpioArchive([
    ...folders.map((path) => ({path, mode: 0o755})),
    ...Object.entries(tables).map(([name, data]) => ({path: `${ACPI}/${name}.aml`, mode: 0o644, data})),
    {path: 'bin/busybox', mode: 0o755, data: readFileSync(guestBusybox)},
    program('init', FIRST_STAGE),
    program('lab/second-stage', SECOND_STAGE),
    program('lab/settings', shellAssignments(settings)),
    ...Object.entries(files).map(([name, text]) => program(`lab/${name}`, text)),
    program('modules/order', modules.map(({name}) => `${name}\n`).join('')),
    ...modules.map(({name, data}) => ({path: `modules/${name}`, mode: 0o644, data})),
  ]);
};

/** Where the kernel looks for tables. */
const ACPI = 'kernel/firmware/acpi';

const program = (path: string, text: string): ArchiveEntry => ({path, mode: 0o755, data: Buffer.from(text)});
