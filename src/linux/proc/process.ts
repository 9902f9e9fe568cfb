import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  readlinkSync,
  statSync,
} from 'node:fs';
import {orNull, SyscallError} from '../errno.js';
import {readElf, type Elf} from './elf.js';
import {parseProcessMaps, type ProcessMapping} from './maps.js';
import {parseProcessStat} from './stat.js';
import {parseProcessStatus, type ProcessStatus} from './status.js';
import {parseTaskSyscall, type TaskSyscall} from './syscall.js';

/**
 * A process as /proc shows it. Nothing is held: each method reads anew, and throws a {@link SyscallError} with the path;
 * ENOENT and ESRCH when the process or thread is gone, EACCES and EPERM when kvfio may not look.
 */
export class Process {
  readonly pid: number;
  readonly #folder: string;

  /** @param proc - where procfs is mounted */
  constructor(pid: number, proc = '/proc') {
    this.pid = pid;
    this.#folder = `${proc}/${pid}`;
  }

  /** The status of the process's first thread, which may be dead while others live, or of the thread `tid`. */
  status(tid?: number): ProcessStatus {
    return parseProcessStatus(this.#text(tid === undefined ? 'status' : `task/${tid}/status`));
  }

  /** Whether it can have files open: kernel threads have none, and neither has what is dead with all its threads. */
  mayHaveFiles(): boolean {
    const {state, kernelThread, threads} = parseProcessStat(this.#text('stat'));
    const dead = (state === 'Z' || state === 'X') && threads !== null && threads <= 1;
    return kernelThread !== true && !dead;
  }

  isKernelThread(): boolean {
    return parseProcessStat(this.#text('stat')).kernelThread === true;
  }

  /** Its threads in the order of their creation, as far as the kernel keeps that. */
  tasks(): number[] {
    return this.#numbers('task');
  }

  /** Whether it has this thread; one that is dead and was not waited for counts. */
  has(tid: number): boolean {
    return existsSync(`${this.#folder}/task/${tid}`);
  }

  /** What a thread does; null where the kernel does not show it in a known form. Needs the right to trace it. */
  syscall(tid: number): TaskSyscall | null {
    return parseTaskSyscall(this.#text(`task/${tid}/syscall`));
  }

  /** Name of the process, or of a thread. The process chose it. */
  comm(tid?: number): string {
    return this.#text(tid === undefined ? 'comm' : `task/${tid}/comm`).replace(/\n$/, '');
  }

  /** Empty for a kernel thread and a zombie. The process can change it. */
  cmdline(): string[] {
    const text = this.#text('cmdline');
    return text === '' ? [] : text.replace(/\0$/, '').split('\0');
  }

  maps(): ProcessMapping[] {
    return parseProcessMaps(this.#text('maps'));
  }

  /**
   * Bytes that it may have: as the stack of its first thread (RLIMIT_STACK), as address space (RLIMIT_AS), of locked memory
   * (RLIMIT_MEMLOCK). null when nothing limits it.
   */
  limit(of: 'stack size' | 'address space' | 'locked memory'): bigint | null {
    const soft = new RegExp(`^Max ${of} +(\\d+|unlimited) `, 'm').exec(this.#text('limits'))?.[1];
    return soft === undefined || soft === 'unlimited' ? null : BigInt(soft);
  }

  /** Whether a mapping is locked in memory (VM_LOCKED). The kernel walks all of the process's pages for that. */
  isLocked({start, end}: ProcessMapping): boolean {
    const [, ...found] = this.#text('smaps').split(
      new RegExp(`^${start.toString(16)}-${end.toString(16)} `, 'm'),
    );
    return /^VmFlags:.* lo\b/m.test(found[0]?.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)[0] ?? '');
  }

  /** What each open descriptor links to, such as `/dev/kvm` and `anon_inode:kvm-vm`, by number. */
  descriptors(): Map<number, string> {
    return new Map(this.#numbers('fd').flatMap((fd) => this.#openLink(fd)));
  }

  /** What a descriptor links to. ENOENT when it is not open. */
  descriptor(fd: number): string {
    return this.#call('readlink', `fd/${fd}`, (path) => readlinkSync(path));
  }

  /** Device number of the character device that a descriptor is open on, 0 for other files. Block devices have the same numbers. */
  deviceOf(fd: number): number {
    const node = this.deviceNodeOf(fd);
    return node?.kind === 'character' ? node.number : 0;
  }

  /** What device node a descriptor is open on; null for other files. */
  deviceNodeOf(fd: number): {kind: 'character' | 'block'; number: number} | null {
    const stats = this.#call('stat', `fd/${fd}`, (path) => statSync(path));
    if (stats.isCharacterDevice()) return {kind: 'character', number: stats.rdev};
    return stats.isBlockDevice() ? {kind: 'block', number: stats.rdev} : null;
  }

  /** The program that it executes. */
  elf(): Elf | null {
    return this.#withFile('exe', readElf);
  }

  /** Unix sockets of the process's network namespace, one per line, as in /proc/net/unix. */
  unixSockets(): string {
    return this.#text('net/unix');
  }

  /** Bytes of its memory, as many as are there. Needs the right to trace it. */
  memory(start: bigint, size: number): Buffer {
    return this.#withFile('mem', (read) => read(Number(start), size));
  }

  /** Owner of the files in /proc/PID: root's when the process may not be dumped or traced by its own user. */
  get filesUid(): number {
    return this.#call('stat', 'mem', (path) => statSync(path).uid);
  }

  #openLink(fd: number): [number, string][] {
    try {
      return [[fd, this.descriptor(fd)]];
    } catch (error) {
      if (error instanceof SyscallError && error.code === 'ENOENT') return []; // closed meanwhile
      throw error;
    }
  }

  #numbers(folder: string): number[] {
    return this.#call('open', folder, (path) =>
      readdirSync(path)
        .map(Number)
        .filter(Number.isInteger)
        .sort((a, b) => a - b),
    );
  }

  #text(name: string): string {
    return this.#call('read', name, (path) => readFileSync(path, 'utf8'));
  }

  #withFile<T>(name: string, use: (read: (offset: number, size: number) => Buffer) => T): T {
    return this.#call('open', name, (path) => {
      const fd = openSync(path, 'r');
      try {
        return use((offset, size) => {
          const bytes = Buffer.alloc(size);
          return bytes.subarray(0, readSync(fd, bytes, 0, size, offset));
        });
      } finally {
        closeSync(fd);
      }
    });
  }

  #call<T>(syscall: string, name: string, call: (path: string) => T): T {
    const path = `${this.#folder}/${name}`;
    try {
      return call(path);
    } catch (error) {
      const {errno, syscall: actual} = error as NodeJS.ErrnoException;
      if (errno === undefined) throw error;
      throw new SyscallError(actual ?? syscall, -errno, path);
    }
  }
}

/** Name of a process, which it chose itself; empty when it is gone, or may not be looked at. */
export const commOf = (pid: number): string => orNull(() => new Process(pid).comm()) ?? '';
