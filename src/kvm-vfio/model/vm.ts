import {DeviceModel, type VmCoherency, type Vfio} from './device.js';
import type {KernelRules} from './rules.js';

/** What KVM does with WBINVD of the guest. */
export type WbinvdPolicy = 'skipped' | 'executed' | 'unknown';

/** A VM as KVM has it, as far as its kvm-vfio device is concerned. */
export class VmModel<F> {
  readonly #rules: KernelRules;
  readonly #vfio: Vfio<F>;
  #device: DeviceModel<F> | null;
  #certain: boolean;

  /**
   * @param device - what it has already
   * @param certain - whether it has that; of a device that was closed and not released nothing is seen
   */
  constructor(rules: KernelRules, vfio: Vfio<F>, device: DeviceModel<F> | null = null, certain = true) {
    this.#rules = rules;
    this.#vfio = vfio;
    this.#device = device;
    this.#certain = certain;
  }

  /** The device that it has now. A VM has one at most. */
  get device(): DeviceModel<F> | null {
    return this.#device;
  }

  /**
   * KVM_CREATE_DEVICE (kvm_vfio_create in virt/kvm/vfio.c).
   *
   * @returns the kernel's answer; null when it depends on what is not known, and then what follows holds for a success
   */
  createDevice(): 'done' | 'EBUSY' | null {
    if (this.#device !== null && this.#certain) return 'EBUSY';
    const answer = this.#certain ? 'done' : null;
    this.#device = new DeviceModel(this.#rules, this.#vfio);
    this.#certain = true;
    return answer;
  }

  /** The last descriptor of the device is closed, which lets all its files go (kvm_vfio_release in virt/kvm/vfio.c). */
  closeDevice(): void {
    if (this.#rules.closeReleases) this.end();
  }

  /** The last descriptor of the VM and of its devices is closed (kvm_destroy_vm). */
  end(): void {
    this.#device = null;
  }

  /** Non-coherent as soon as its device is: `noncoherent_dma_count` of struct kvm_arch is above 0 (arch/x86/kvm/x86.c). */
  get coherency(): VmCoherency {
    return this.#device?.coherency ?? 'coherent';
  }

  get wbinvd(): WbinvdPolicy {
    return wbinvdOf(this.coherency);
  }
}

/** Skipped, unless a device may do DMA past the caches (need_emulate_wbinvd in arch/x86/kvm/x86.c). */
export const wbinvdOf = (coherency: VmCoherency): WbinvdPolicy => {
  switch (coherency) {
    case 'coherent':
      return 'skipped';
    case 'non-coherent':
      return 'executed';
    case 'unknown':
      return 'unknown';
  }
};
