/** Why KVM_RUN returned: `kvm_run.exit_reason`, in the kernel's spelling (include/uapi/linux/kvm.h). */
export const KVM_EXITS = {
  KVM_EXIT_UNKNOWN: 0,
  KVM_EXIT_EXCEPTION: 1,
  KVM_EXIT_IO: 2,
  KVM_EXIT_HYPERCALL: 3,
  KVM_EXIT_DEBUG: 4,
  KVM_EXIT_HLT: 5,
  KVM_EXIT_MMIO: 6,
  KVM_EXIT_IRQ_WINDOW_OPEN: 7,
  KVM_EXIT_SHUTDOWN: 8,
  KVM_EXIT_FAIL_ENTRY: 9,
  KVM_EXIT_INTR: 10,
  KVM_EXIT_SET_TPR: 11,
  KVM_EXIT_TPR_ACCESS: 12,
  KVM_EXIT_NMI: 16,
  KVM_EXIT_INTERNAL_ERROR: 17,
  KVM_EXIT_WATCHDOG: 21,
  KVM_EXIT_SYSTEM_EVENT: 24,
  KVM_EXIT_IOAPIC_EOI: 26,
  KVM_EXIT_HYPERV: 27,
  KVM_EXIT_X86_RDMSR: 29,
  KVM_EXIT_X86_WRMSR: 30,
  KVM_EXIT_DIRTY_RING_FULL: 31,
  KVM_EXIT_AP_RESET_HOLD: 32,
  KVM_EXIT_X86_BUS_LOCK: 33,
  KVM_EXIT_XEN: 34,
  KVM_EXIT_NOTIFY: 37,
  KVM_EXIT_MEMORY_FAULT: 39,
} as const;

/** Bytes of `struct kvm_run` up to the end of what {@link KvmExit} reads. */
export const KVM_RUN_HEAD = 64;

/** What `struct kvm_run` says after KVM_RUN. */
export class KvmExit {
  readonly reason: number;
  /** `KVM_EXIT_HLT`; `exit reason 99` for one that has no name here. */
  readonly name: string;
  readonly #head: Buffer;

  /** @param head - the first {@link KVM_RUN_HEAD} bytes */
  constructor(head: Buffer) {
    this.reason = head.readUInt32LE(8);
    this.name = NAMES.get(this.reason) ?? `exit reason ${this.reason}`;
    this.#head = head;
  }

  /** The name with what the kernel adds to it. */
  describe(): string {
    const head = this.#head;
    switch (this.reason) {
      case KVM_EXITS.KVM_EXIT_FAIL_ENTRY:
        return `${this.name}, hardware entry failure reason 0x${head.readBigUInt64LE(32).toString(16)}`;
      case KVM_EXITS.KVM_EXIT_UNKNOWN:
        return `${this.name}, hardware exit reason 0x${head.readBigUInt64LE(32).toString(16)}`;
      case KVM_EXITS.KVM_EXIT_INTERNAL_ERROR:
        return `${this.name}, ${SUBERRORS[head.readUInt32LE(32)] ?? `suberror ${head.readUInt32LE(32)}`}`;
      case KVM_EXITS.KVM_EXIT_IO:
        return `${this.name} at port 0x${head.readUInt16LE(34).toString(16)}`;
      case KVM_EXITS.KVM_EXIT_MMIO:
        return `${this.name} at 0x${head.readBigUInt64LE(32).toString(16)}`;
      case KVM_EXITS.KVM_EXIT_SHUTDOWN:
        return `${this.name}, a triple fault of the guest`;
      default:
        return this.name;
    }
  }
}

const NAMES = new Map<number, string>(Object.entries(KVM_EXITS).map(([name, reason]) => [reason, name]));

/** `kvm_run.internal.suberror`. */
const SUBERRORS: Record<number, string> = {
  1: 'KVM_INTERNAL_ERROR_EMULATION',
  2: 'KVM_INTERNAL_ERROR_SIMUL_EX',
  3: 'KVM_INTERNAL_ERROR_DELIVERY_EV',
  4: 'KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON',
};
