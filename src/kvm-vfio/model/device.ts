import type {Verdict} from '../../iommu/snoop-control.js';
import {KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD, KVM_DEV_VFIO_FILE_DEL} from '../../linux/ioctl.js';
import type {KernelRules} from './rules.js';
import type {GroupContainer} from './enforced-coherent.js';

/** What KVM takes a VM for: all DMA of its devices is coherent with the CPU caches, or not. */
export type VmCoherency = 'coherent' | 'non-coherent' | 'unknown';

/** What the kernel answers to an ADD or DEL. */
export type Answer = 'done' | 'EEXIST' | 'ENOENT' | 'EINVAL';

/** An open file to KVM: a VFIO group, a VFIO device, or none of VFIO's. */
export type FileKind = 'group' | 'device' | 'other';

/** What KVM learns from VFIO of a file. KVM compares files by identity: two opens of one node are two files. */
export interface Vfio<F> {
  kindOf: (file: F) => FileKind;
  /** The container that a group is in, if any. */
  containerOf: (file: F) => GroupContainer;
  /**
   * VFIO's answer if KVM looks now: to look at a file is to ask VFIO whether its IOMMU enforces coherency
   * (kvm_vfio_file_enforced_coherent in virt/kvm/vfio.c).
   */
  enforcedCoherent: (file: F) => Verdict;
}

/** A file of the device's list. */
export interface Entry<F> {
  file: F;
  /** Null for one that may be in the list. */
  registered: boolean | null;
  /** VFIO's answer when KVM last looked. */
  lastVerdict: Verdict;
}

/**
 * The kernel's kvm-vfio device (virt/kvm/vfio.c) as a model: with all known it answers as the kernel does, and where
 * something is not known it says only what holds in any case. It predicts for `--dry-run` and reports for `status`,
 * and a test runs it side by side with real kernels.
 */
export class DeviceModel<F> {
  readonly #rules: KernelRules;
  readonly #vfio: Vfio<F>;
  #entries: Entry<F>[];
  #looked: boolean | null = false;

  constructor(rules: KernelRules, vfio: Vfio<F>, entries: readonly Entry<F>[] = []) {
    this.#rules = rules;
    this.#vfio = vfio;
    this.#entries = entries.map((entry) => ({...entry}));
  }

  /** The files that are, or may be, registered, each of which KVM keeps open. */
  get entries(): readonly Readonly<Entry<F>>[] {
    return this.#entries.filter(({registered}) => registered !== false);
  }

  /** Whether KVM has looked at all files since this model was made; null when that is not known. */
  get looked(): boolean | null {
    return this.#looked;
  }

  /** The first file without enforced coherency decides (kvm_vfio_update_coherency), by VFIO's answer when KVM last looked. */
  get coherency(): VmCoherency {
    return coherencyOf(this.#entries);
  }

  /** KVM_HAS_DEVICE_ATTR (kvm_vfio_has_attr): 0, or ENXIO. SET_SPAPR_TCE is there on powerpc only. */
  hasAttr(group: number, attr: number): boolean {
    return group === KVM_DEV_VFIO_FILE && (attr === KVM_DEV_VFIO_FILE_ADD || attr === KVM_DEV_VFIO_FILE_DEL);
  }

  /**
   * KVM_DEV_VFIO_FILE_ADD of an open file (kvm_vfio_file_add).
   *
   * @param answer - the kernel's, where it is known
   * @returns the kernel's answer; null when it depends on what is not known
   */
  add(file: F, answer: Answer | null = this.#addAnswer(file)): Answer | null {
    if (answer === 'EINVAL') return answer;
    const registered = answer !== null || this.#isTaken(file) === true ? true : null;
    const entry = this.#entryOf(file);
    if (entry === undefined)
      this.#entries.push({file, registered, lastVerdict: this.#vfio.enforcedCoherent(file)});
    else entry.registered ||= registered;
    this.#look(answer === null ? null : answerUpdatesCoherency(answer, this.#rules));
    return answer;
  }

  /** KVM_DEV_VFIO_FILE_DEL (kvm_vfio_file_del), which takes any open file. Otherwise as {@link add}. */
  delete(file: F, answer: Answer | null = this.#deleteAnswer(file)): Answer | null {
    this.#entries = this.#entries.filter((entry) => entry.file !== file);
    const refused = answerUpdatesCoherency('ENOENT', this.#rules);
    this.#look(answer === null ? refused || null : answerUpdatesCoherency(answer, this.#rules));
    return answer;
  }

  #addAnswer(file: F): Answer | null {
    const taken = this.#isTaken(file);
    if (taken === false) return 'EINVAL';
    const registered = this.#entryOf(file)?.registered ?? false;
    if (taken === null || this.#mayBe(file)) return null;
    return registered ? 'EEXIST' : 'done';
  }

  /** Whether KVM takes it for a file of VFIO; null when that is not known. */
  #isTaken(file: F): boolean | null {
    const {takesDevices, needsContainer} = this.#rules;
    switch (this.#vfio.kindOf(file)) {
      case 'other':
        return false;
      case 'device':
        return takesDevices;
      case 'group': {
        const container = needsContainer ? this.#vfio.containerOf(file) : 'type1';
        return container === 'unknown' ? null : container === 'type1';
      }
    }
  }

  #deleteAnswer(file: F): Answer | null {
    if (this.#mayBe(file)) return null;
    return this.#entryOf(file)?.registered === true ? 'done' : 'ENOENT';
  }

  #mayBe(file: F): boolean {
    return this.#entryOf(file)?.registered === null;
  }

  #entryOf(file: F): Entry<F> | undefined {
    return this.#entries.find((entry) => entry.file === file);
  }

  /** KVM looks at all files (true) or not (false). Null when that is not known: an answer that differs then becomes unknown. */
  #look(does: boolean | null): void {
    if (does === false) return;
    if (this.#looked !== true) this.#looked = does;
    for (const entry of this.#entries) {
      const now = this.#vfio.enforcedCoherent(entry.file);
      entry.lastVerdict = does === true || entry.lastVerdict === now ? now : 'unknown';
    }
  }
}

/**
 * Whether KVM looks at the coherency of all files when it answers so: an ADD or DEL that succeeds has it look
 * (kvm_vfio_file_add and kvm_vfio_file_del in virt/kvm/vfio.c), one that is refused earlier does not, and of a DEL that
 * is answered ENOENT see {@link KernelRules.refusedDeleteLooks}. Null when that is not known.
 */
export const answerUpdatesCoherency = (
  answer: Answer,
  {refusedDeleteLooks}: Pick<KernelRules, 'refusedDeleteLooks'>,
): boolean | null => (answer === 'ENOENT' ? refusedDeleteLooks : answer === 'done');

const coherencyOf = <F>(entries: readonly Entry<F>[]): VmCoherency => {
  if (entries.some(({registered, lastVerdict}) => registered === true && lastVerdict === 'not-enforced'))
    return 'non-coherent';
  return entries.some(({registered, lastVerdict}) => registered !== false && lastVerdict !== 'enforced')
    ? 'unknown'
    : 'coherent';
};
