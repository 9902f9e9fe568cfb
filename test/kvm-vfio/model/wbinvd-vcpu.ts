import {readFileSync} from 'node:fs';
import {runOn} from '../../../src/linux/affinity.js';
import {setGuestMemory, Vcpu} from '../../../src/linux/kvm-vcpu.js';
import type {Vm} from '../../../src/linux/kvm.js';
import {addressOf} from '../../../src/linux/libc.js';

const PAGE = 4096;
const PROGRAM_AT = 0x1000;
/** In 16-bit real mode: wbinvd; hlt; jmp back */
const PROGRAM = Buffer.from([0x0f, 0x09, 0xf4, 0xeb, 0xfb]);

/**
 * A vCPU that shows what KVM does with WBINVD: one that is executed is executed on each CPU that the vCPU was on before,
 * which takes a function call of that CPU (kvm_emulate_wbinvd_noskip in arch/x86/kvm/x86.c). Needs two CPUs.
 */
export class WbinvdVcpu implements Disposable {
  readonly #memory = Buffer.from(new ArrayBuffer(3 * PAGE));
  readonly #vcpu: Vcpu;

  constructor(vm: Vm) {
    const address = addressOf(this.#memory);
    const offset = Number(-address & BigInt(PAGE - 1));
    PROGRAM.copy(this.#memory, offset + PROGRAM_AT);
    setGuestMemory(vm, address + BigInt(offset), 2 * PAGE);
    this.#vcpu = Vcpu.create(vm.fd);
    this.#vcpu.startAt(PROGRAM_AT);
  }

  /**
   * What KVM does with WBINVD, by rounds that are for one or the other. Function calls have other reasons, too, and now and then
   * one needs no interrupt, when the other CPU polls: so what is expected needs a lead of a few rounds, and what is not
   * needs a lead of many.
   */
  wbinvd(expected: 'skipped' | 'executed'): 'skipped' | 'executed' {
    let lead = 0;
    while (lead < AGREED && lead > -REFUTED) lead += this.#isCalled() === (expected === 'executed') ? 1 : -1;
    return lead === AGREED ? expected : expected === 'executed' ? 'skipped' : 'executed';
  }

  #isCalled(): boolean {
    runOn([0]);
    this.#vcpu.getRegister('rip'); // which loads the vCPU here
    runOn([1]);
    const before = calls();
    this.#vcpu.run();
    return calls() > before;
  }

  [Symbol.dispose](): void {
    this.#vcpu[Symbol.dispose]();
  }
}

const AGREED = 4;
const REFUTED = 12;

/** Function calls from other CPUs that CPU 0 has had. */
const calls = (): number =>
  Number(/^ *CAL: +(\d+)/m.exec(readFileSync('/proc/interrupts', 'latin1'))?.[1] ?? NaN);
