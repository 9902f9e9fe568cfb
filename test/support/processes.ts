import {mkdirSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';

/** A process to be written below the folder `proc` of a machine. */
export interface ProcessSpec {
  pid: number;
  comm?: string;
  cmdline?: readonly string[];
  uid?: number;
  /** Clock ticks after boot. */
  start?: number;
  /** What its descriptors link to. */
  fds?: Record<number, string>;
  /** Mode of seccomp by thread. */
  seccomp?: Record<number, number>;
  /** Resident KiB and KiB of huge pages. */
  memory?: readonly [resident: number, hugetlb: number];
  /** Files that are missing, as of a process that ends while it is read. */
  without?: readonly string[];
}

/** Writes processes as procfs shows them. */
export const writeProcesses = (root: string, processes: readonly ProcessSpec[]): void => {
  for (const spec of processes) writeProcess(join(root, 'proc', String(spec.pid)), spec);
};

const writeProcess = (folder: string, spec: ProcessSpec): void => {
  const {pid, comm = 'vmm', cmdline = [comm], uid = 0, start = 1000, fds = {}, without = []} = spec;
  const {seccomp = {[pid]: 0}, memory: [resident, hugetlb] = [4096, 0]} = spec;
  const status = (mode: number): string =>
    [
      `Name:\t${comm}`,
      'State:\tS (sleeping)',
      `Tgid:\t${pid}`,
      `Uid:\t${uid}\t${uid}\t${uid}\t${uid}`,
      `VmRSS:\t${resident} kB`,
      `HugetlbPages:\t${hugetlb} kB`,
      `Threads:\t${Object.keys(seccomp).length}`,
      `Seccomp:\t${mode}`,
      '',
    ].join('\n');
  mkdirSync(join(folder, 'fd'), {recursive: true});
  writeFileSync(join(folder, 'comm'), `${comm}\n`);
  writeFileSync(join(folder, 'cmdline'), cmdline.map((word) => `${word}\0`).join(''));
  writeFileSync(
    join(folder, 'stat'),
    `${pid} (${comm}) S 1 1 1 0 -1 4194560 ${'0 '.repeat(12)}${start} 0 0\n`,
  );
  writeFileSync(join(folder, 'status'), status(seccomp[pid] ?? 0));
  for (const [tid, mode] of Object.entries(seccomp)) {
    mkdirSync(join(folder, 'task', tid), {recursive: true});
    writeFileSync(join(folder, 'task', tid, 'status'), status(mode));
  }
  for (const [fd, link] of Object.entries(fds)) symlinkSync(link, join(folder, 'fd', fd));
  for (const name of without) rmSync(join(folder, name), {recursive: true});
};
