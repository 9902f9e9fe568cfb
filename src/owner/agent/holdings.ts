import {fstatSync} from 'node:fs';
import {constants} from 'node:os';
import type {Descriptor} from '../../linux/descriptor.js';
import {SyscallError} from '../../linux/errno.js';
import type {KvmVfio} from '../../kvm/device.js';
import {MOST_HELD, type AgentHeld} from '../../vm/agent-protocol.js';

/**
 * The descriptors that an agent holds for its clients. They outlive the connection that brought them while they are
 * needed: a device until it is closed, a file while it is registered with a device. A file that is not goes with
 * the connection that gave it or had it deleted last.
 *
 * Methods throw a {@link SyscallError} with the error number for the client.
 */
export class AgentHoldings implements Disposable {
  readonly #devices = new Map<number, KvmVfio>();
  readonly #files = new Map<number, HeldFile>();

  /** Throws ENOSPC when nothing more can be held. */
  makeRoom(): void {
    if (this.#devices.size + this.#files.size >= MOST_HELD) throw refusal('ENOSPC');
  }

  holdDevice(device: KvmVfio): number {
    this.#devices.set(device.fd, device);
    return device.fd;
  }

  holdFile(file: Descriptor, connection: object): number {
    this.makeRoom();
    this.#files.set(file.fd, {file, device: null, connection});
    return file.fd;
  }

  /** Throws EBADF when there is no such device. */
  device(fd: number): KvmVfio {
    const device = this.#devices.get(fd);
    if (device === undefined) throw refusal('EBADF');
    return device;
  }

  /** A file or device; throws EBADF when it is not held. */
  descriptor(fd: number): Descriptor {
    return this.#files.get(fd)?.file ?? this.device(fd);
  }

  /** A file, if it is held, is registered with a device now. */
  added(fd: number, device: KvmVfio): void {
    const held = this.#files.get(fd);
    if (held !== undefined) Object.assign(held, {device, connection: null});
  }

  /** A file, if it is held, is not registered any more, as `connection` asked for. */
  deleted(fd: number, connection: object): void {
    const held = this.#files.get(fd);
    if (held !== undefined) Object.assign(held, {device: null, connection});
  }

  /** Throws EBADF when it is not held. */
  close(fd: number, connection: object): void {
    const descriptor = this.descriptor(fd);
    this.#files.delete(fd);
    this.#devices.delete(fd);
    descriptor[Symbol.dispose]();
    // the kernel forgets the files of a device that is closed
    for (const [number, {device}] of this.#files) if (device === descriptor) this.deleted(number, connection);
  }

  /** Closes what goes with a connection. */
  end(connection: object): void {
    for (const [fd, held] of this.#files) if (held.connection === connection) this.close(fd, connection);
  }

  list(): AgentHeld[] {
    return [
      ...[...this.#devices.keys()].map((fd) => entry(fd, 'device', false)),
      ...[...this.#files].map(([fd, {device}]) => entry(fd, 'given', device !== null)),
    ];
  }

  [Symbol.dispose](): void {
    for (const fd of [...this.#devices.keys(), ...this.#files.keys()]) this.close(fd, this);
  }
}

interface HeldFile {
  file: Descriptor;
  /** Device that the file is registered with; null when it is not registered. */
  device: KvmVfio | null;
  /** Connection at whose end the file is closed; null when it stays. */
  connection: object | null;
}

const entry = (fd: number, kind: AgentHeld['kind'], registered: boolean): AgentHeld => {
  const stats = fstatSync(fd);
  const device = stats.isCharacterDevice() ? BigInt(stats.rdev) : 0n;
  return {fd, kind, registered, major: major(device), minor: minor(device)};
};

// the parts of a dev_t as user space sees it (new_encode_dev in include/linux/kdev_t.h)
const major = (device: bigint): number => Number((device >> 8n) & 0xfffn);
const minor = (device: bigint): number => Number((device & 0xffn) | ((device >> 12n) & 0xfff00n));

const refusal = (code: 'EBADF' | 'ENOSPC'): SyscallError => new SyscallError('agent', constants.errno[code]);
