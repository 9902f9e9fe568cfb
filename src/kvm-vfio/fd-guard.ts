import {Failure} from '../failure.js';
import type {Descriptor} from '../linux/descriptor.js';
import {SyscallError} from '../linux/errno.js';
import {sameFile} from '../linux/proc/kcmp.js';
import {KVM_VFIO} from '../kvm/links.js';
import {Process} from '../linux/proc/process.js';
import type {Owner} from '../owner/owner.js';

/** A file that was found in the owner of a VM. */
export interface FoundFile {
  /** Number of its descriptor in the owner. */
  fd: number;
  /** What it is: a kvm-vfio device, or a file of VFIO by the device number of its node in /dev (null when the node is gone). */
  kind: 'kvm-vfio' | {device: number | null};
}

/**
 * Checks that descriptor numbers in the owner still are those of the files that a plan names by them: the owner may give a number
 * to another file at any time. kvfio has descriptors of its own for these files, so that it can compare. This is none of the
 * guards of `kvfio bind`.
 *
 * An agent knows its files itself, and refuses the numbers of all others.
 */
export class FdGuard implements Disposable {
  readonly #owner: Owner;
  readonly #files = new Map<number, Descriptor>();

  /** @throws {@link Failure} when the owner has something else there already */
  static of(owner: Owner, found: readonly FoundFile[]): FdGuard {
    const known = new FdGuard(owner);
    try {
      if (owner.way === 'inject') for (const file of found) known.#take(file);
      return known;
    } catch (error) {
      known[Symbol.dispose]();
      throw error;
    }
  }

  private constructor(owner: Owner) {
    this.#owner = owner;
  }

  /**
   * Makes sure that a number is still that of the file that was found there. To be called right before it is used.
   *
   * @throws {@link Failure}
   */
  check(fd: number): void {
    const file = this.#files.get(fd);
    if (file !== undefined && !isStill(this.#owner.pid, fd, file)) throw changed(this.#owner.pid, fd);
  }

  [Symbol.dispose](): void {
    for (const file of this.#files.values()) file[Symbol.dispose]();
  }

  #take(found: FoundFile): void {
    if (this.#files.has(found.fd)) return;
    const file = unlessClosed(() => this.#owner.takeDescriptor(found.fd));
    if (file === null) throw changed(this.#owner.pid, found.fd);
    this.#files.set(found.fd, file);
    if (!isOfKind(file, found)) throw changed(this.#owner.pid, found.fd);
  }
}

const isOfKind = ({fd}: Descriptor, {kind}: FoundFile): boolean => {
  const self = new Process(process.pid);
  if (kind === 'kvm-vfio') return self.descriptor(fd) === KVM_VFIO;
  return kind.device === null || self.deviceOf(fd) === kind.device;
};

const isStill = (pid: number, fd: number, file: Descriptor): boolean =>
  unlessClosed(() => sameFile(process.pid, file.fd, pid, fd)) ?? false;

/** null when the owner has nothing there. */
const unlessClosed = <T>(look: () => T): T | null => {
  try {
    return look();
  } catch (error) {
    if (error instanceof SyscallError && error.code === 'EBADF') return null;
    throw error;
  }
};

const changed = (pid: number, fd: number): Failure =>
  new Failure({
    code: 'OWNER_CHANGED',
    kind: 'refused',
    what: `Descriptor ${fd} of the VM's owner, process ${pid}, was left alone.`,
    why: 'It is no longer the file that kvfio found there: the owner has closed that file, or reused its number.',
    hint: 'Try again.',
  });
