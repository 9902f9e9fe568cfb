import {lstatSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync} from 'node:fs';
import {join} from 'node:path';

/**
 * `kvfio-lab-PID-START-SPACE-XXXXXX`: the process that owns the folder, when it started, and the PID namespace in
 * which that number means it. Containers may share a folder, and what lives in another one cannot be seen from here.
 */
const NAME = /^kvfio-lab-(\d+)-(\d+)-(\d+)-/;

/** File in the folder that QEMU writes its process id into. */
export const PID_FILE = 'qemu.pid';

/** Makes a private folder whose name says which process it belongs to, so that {@link removeStale} can find it. */
export const temporaryFolder = (parent: string): string =>
  mkdtempSync(join(parent, `kvfio-lab-${process.pid}-${startOf('self') ?? '0'}-${pidNamespace()}-`));

/** Removes what processes that no longer live left in `parent`, including a QEMU. */
export const removeStale = (parent: string): void => {
  for (const entry of readdirSync(parent)) {
    const [, pid, start, space] = NAME.exec(entry) ?? [];
    if (pid === undefined || space !== pidNamespace() || startOf(pid) === start) continue;
    const folder = join(parent, entry);
    if (lstatSync(folder, {throwIfNoEntry: false})?.uid === process.getuid?.()) removeFolder(folder);
  }
};

/** Kills the QEMU that works in the folder, if one is left, and removes the folder. */
export const removeFolder = (folder: string): void => {
  try {
    const pid = readFileSync(join(folder, PID_FILE), 'utf8').trim();
    // the id may have been given to another process since
    if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder)) process.kill(Number(pid), 'SIGKILL');
  } catch {
    // no QEMU left
  }
  rmSync(folder, {recursive: true, force: true});
};

/** When a process started, in clock ticks after boot (field 22 of proc_pid_stat(5)), or null where it is gone. */
const startOf = (pid: string): string | null => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
};

/** Number of this process's PID namespace. */
const pidNamespace = (): string => readlinkSync('/proc/self/ns/pid').replace(/\D/g, '');
