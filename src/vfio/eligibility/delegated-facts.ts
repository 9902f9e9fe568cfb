import type {AskedFacts} from './host-facts.js';

/** What is true of a whole machine, as other facts have it, for those that answer in their own way what is asked of a device. */
export abstract class DelegatedFacts implements AskedFacts {
  protected readonly facts: AskedFacts;

  constructor(facts: AskedFacts) {
    this.facts = facts;
  }

  get warnings(): AskedFacts['warnings'] {
    return this.facts.warnings;
  }

  get interrupts(): AskedFacts['interrupts'] {
    return this.facts.interrupts;
  }

  get framebuffers(): AskedFacts['framebuffers'] {
    return this.facts.framebuffers;
  }

  get vfioPci(): AskedFacts['vfioPci'] {
    return this.facts.vfioPci;
  }

  near<T>(look: () => T): T {
    return this.facts.near(look);
  }

  parameter(module: string, name: string): string | null {
    return this.facts.parameter(module, name);
  }

  abstract of(path: string, file: string): string | null;
  abstract isSilent(path: string): boolean;
  abstract isVfios(path: string): boolean;
  abstract physicalFunction(path: string): string | null;
}
