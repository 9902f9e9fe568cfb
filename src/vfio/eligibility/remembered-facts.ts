import type {Facts} from './host-facts.js';

type Answer = string | boolean | null;

/** Facts of a machine that is judged several times over, each asked for once. The answers take memory, so they are for one reading. */
export class RememberedFacts implements Facts {
  readonly #facts: Facts;
  /** Answers about devices, by question and then by folder. */
  readonly #answers = new Map<string, Map<string, Answer>>();

  constructor(facts: Facts) {
    this.#facts = facts;
  }

  get warnings(): Facts['warnings'] {
    return this.#facts.warnings;
  }

  get interrupts(): Facts['interrupts'] {
    return this.#facts.interrupts;
  }

  get framebuffers(): Facts['framebuffers'] {
    return this.#facts.framebuffers;
  }

  get vfioPci(): Facts['vfioPci'] {
    return this.#facts.vfioPci;
  }

  near<T>(look: () => T): T {
    return this.#facts.near(look);
  }

  parameter(module: string, name: string): string | null {
    return this.#facts.parameter(module, name);
  }

  of(path: string, file: string): string | null {
    return this.#once(file, path, () => this.#facts.of(path, file));
  }

  isSilent(path: string): boolean {
    return this.#once('is silent', path, () => this.#facts.isSilent(path));
  }

  isVfios(path: string): boolean {
    return this.#once('is of VFIO', path, () => this.#facts.isVfios(path));
  }

  physicalFunction(path: string): string | null {
    return this.#once('physical function', path, () => this.#facts.physicalFunction(path));
  }

  #once<T extends Answer>(question: string, path: string, ask: () => T): T {
    let answers = this.#answers.get(question);
    if (answers === undefined) this.#answers.set(question, (answers = new Map<string, Answer>()));
    const known = answers.get(path);
    if (known !== undefined) return known as T;
    const answer = ask();
    answers.set(path, answer);
    return answer;
  }
}
