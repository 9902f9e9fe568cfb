import {spawnSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {which} from '../../src/lab/programs.js';

/** Programs that tests compare with or start, and the package of Debian that has each. */
export const PACKAGES = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'aarch64-linux-gnu-gcc': 'gcc-aarch64-linux-gnu',
  'ansible-playbook': 'ansible-core',
  bash: 'bash',
  blkid: 'util-linux',
  busybox: 'busybox-static',
  cc: 'gcc',
  clang: 'clang',
  chrt: 'util-linux',
  dmsetup: 'dmsetup',
  driverctl: 'driverctl',
  fish: 'fish',
  ip: 'iproute2',
  kubectl: 'kubernetes-client',
  lspci: 'pciutils',
  lvm: 'lvm2',
  man: 'man-db',
  mandoc: 'mandoc',
  mdadm: 'mdadm',
  modprobe: 'kmod',
  objdump: 'binutils',
  'prometheus-node-exporter': 'prometheus-node-exporter',
  podman: 'podman',
  prlimit: 'util-linux',
  promtool: 'prometheus',
  script: 'bsdutils',
  setpriv: 'util-linux',
  strace: 'strace',
  'systemd-analyze': 'systemd',
  taskset: 'util-linux',
  unshare: 'util-linux',
  'virt-xml-validate': 'libvirt-clients',
  xmllint: 'libxml2-utils',
  xz: 'xz-utils',
  zsh: 'zsh',
  zstd: 'zstd',
} as const;

export type Program = keyof typeof PACKAGES;

/** Whether a program is found as the tests start it. */
export const isInPath = (program: Program): boolean =>
  (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, program)));

/** The C library of arm64, which the package of the compiler only recommends. */
const ARM64_LIBRARY = 'libc6-dev-arm64-cross';
const ARM64_HEADERS = '/usr/aarch64-linux-gnu/include/stdio.h';

/** The sanitizers and the fuzzer of clang, which its package only recommends. */
const CLANG_RUNTIME = 'libclang-rt-dev';

const hasClangRuntime = (): boolean => {
  const {stdout, status} = spawnSync('clang', ['-print-resource-dir'], {encoding: 'utf8'});
  return status === 0 && existsSync(join(stdout.trim(), 'lib/linux/libclang_rt.fuzzer-x86_64.a'));
};

/** The packages of those programs that this machine lacks, each once. */
export const missingPackages = (programs = Object.keys(PACKAGES) as Program[]): string[] => {
  const path = process.env['PATH'] ?? '';
  const missing: string[] = programs
    .filter((program) => which(program, path) === null)
    .map((program) => PACKAGES[program]);
  if (programs.includes('aarch64-linux-gnu-gcc') && !existsSync(ARM64_HEADERS)) missing.push(ARM64_LIBRARY);
  if (programs.includes('clang') && !hasClangRuntime()) missing.push(CLANG_RUNTIME);
  return [...new Set(missing)].sort();
};

/** Whether tests may install what they lack: where the user asked for it, and in continuous integration. */
export const mayInstall = (): boolean =>
  process.getuid?.() === 0 &&
  (process.env['CI'] !== undefined || process.env['KVFIO_TEST_INSTALL'] !== undefined);
