import {setGuestMemory, Vcpu} from '../../../src/kvm/vcpu.js';
import type {Vm} from '../../../src/kvm/system.js';
import {addressOf} from '../../../src/linux/libc.js';
import {addressOfSymbol, Breakpoint} from './breakpoint.js';

const PAGE = 4096;
const PROGRAM_AT = 0x1000;
/** In 16-bit real mode: wbinvd; hlt; jmp back */
const PROGRAM = Buffer.from([0x0f, 0x09, 0xf4, 0xeb, 0xfb]);

/**
 * Counts how often a vCPU of this thread has the host execute WBINVD: KVM has the vCPU's own CPU do so, too
 * (kvm_emulate_wbinvd_noskip in arch/x86/kvm/x86.c; the function is __wbinvd since Linux 6.17). Needs kprobes.
 */
export const wbinvdBreakpoint = (): Breakpoint =>
  new Breakpoint(addressOfSymbol('wbinvd_ipi', '__wbinvd'), 'executed');

/** A vCPU that shows what KVM does with WBINVD. */
export class WbinvdVcpu implements Disposable {
  readonly #memory = Buffer.from(new ArrayBuffer(3 * PAGE));
  readonly #vcpu: Vcpu;
  readonly #executions: Breakpoint;

  /** @param executions - see {@link wbinvdBreakpoint} */
  constructor(vm: Vm, executions: Breakpoint) {
    this.#executions = executions;
    const address = addressOf(this.#memory);
    const offset = Number(-address & BigInt(PAGE - 1));
    PROGRAM.copy(this.#memory, offset + PROGRAM_AT);
    setGuestMemory(vm, address + BigInt(offset), 2 * PAGE);
    this.#vcpu = Vcpu.create(vm.fd);
    this.#vcpu.startAt(PROGRAM_AT);
  }

  /** Has the guest execute WBINVD once. */
  wbinvd(): 'skipped' | 'executed' {
    const before = this.#executions.count();
    this.#vcpu.run();
    return this.#executions.count() === before ? 'skipped' : 'executed';
  }

  [Symbol.dispose](): void {
    this.#vcpu[Symbol.dispose]();
  }
}
