import {DelegatedFacts} from './delegated-facts.js';

type Answer = string | boolean | null;

/** Facts of a machine that is judged several times over, each asked for once. The answers take memory, so they are for one reading. */
export class RememberedFacts extends DelegatedFacts {
  /** Answers about devices, by question and then by folder. */
  readonly #answers = new Map<string, Map<string, Answer>>();

  of(path: string, file: string): string | null {
    return this.#once(file, path, () => this.facts.of(path, file));
  }

  isSilent(path: string): boolean {
    return this.#once('is silent', path, () => this.facts.isSilent(path));
  }

  isVfios(path: string): boolean {
    return this.#once('is of VFIO', path, () => this.facts.isVfios(path));
  }

  physicalFunction(path: string): string | null {
    return this.#once('physical function', path, () => this.facts.physicalFunction(path));
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
