import type {Facts} from './host-facts.js';

/** What is true of a whole machine, as other facts have it, for those that answer in their own way what is asked of a device. */
export abstract class DelegatedFacts implements Facts {
  protected readonly facts: Facts;

  constructor(facts: Facts) {
    this.facts = facts;
  }

  get warnings(): Facts['warnings'] {
    return this.facts.warnings;
  }

  get interrupts(): Facts['interrupts'] {
    return this.facts.interrupts;
  }

  get framebuffers(): Facts['framebuffers'] {
    return this.facts.framebuffers;
  }

  get vfioPci(): Facts['vfioPci'] {
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
