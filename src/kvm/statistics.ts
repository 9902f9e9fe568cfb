import {readSync} from 'node:fs';
import {Descriptor} from '../linux/descriptor.js';

/**
 * The statistics that KVM keeps of a VM or a vCPU, in binary (KVM_GET_STATS_FD, Linux 5.14; struct kvm_stats_header and
 * kvm_stats_desc in include/uapi/linux/kvm.h).
 */
export class KvmStats extends Descriptor {
  #offsets: Map<string, number> | undefined;

  /** The values of a counter so far; null when this kernel has no counter of that name. */
  read(name: string): bigint | null {
    this.#offsets ??= this.#readOffsets();
    const at = this.#offsets.get(name);
    return at === undefined ? null : this.#bytes(at, 8).readBigUInt64LE();
  }

  /** Where each counter's first value is in the file. */
  #readOffsets(): Map<string, number> {
    // struct kvm_stats_header: u32 flags, name_size, num_desc, id_offset, desc_offset, data_offset
    const header = this.#bytes(0, 24);
    const [nameSize, count, descriptors, data] = [4, 8, 16, 20].map((at) => header.readUInt32LE(at)) as [
      number,
      number,
      number,
      number,
    ];
    // struct kvm_stats_desc: u32 flags, s16 exponent, u16 size, u32 offset, u32 bucket_size, char name[]
    const size = 16 + nameSize;
    const table = this.#bytes(descriptors, size * count);
    return new Map(
      Array.from({length: count}, (_, index) => {
        const entry = table.subarray(index * size, (index + 1) * size);
        const name = entry.toString('latin1', 16).replace(/\0.*$/s, '');
        return [name, data + entry.readUInt32LE(8)];
      }),
    );
  }

  #bytes(position: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    const got = readSync(this.fd, bytes, 0, length, position);
    if (got < length) throw new RangeError(`KVM's statistics end after ${position + got} bytes`);
    return bytes;
  }
}
