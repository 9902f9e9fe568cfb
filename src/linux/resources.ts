/** What is to be disposed of together, the last first. */
export class Resources implements Disposable {
  readonly #held: Disposable[] = [];

  use<T extends Disposable>(resource: T): T {
    this.#held.push(resource);
    return resource;
  }

  /** Disposes of all, whatever is thrown meanwhile; the first error is thrown in the end. */
  [Symbol.dispose](): void {
    const errors: unknown[] = [];
    for (let resource = this.#held.pop(); resource !== undefined; resource = this.#held.pop()) {
      try {
        resource[Symbol.dispose]();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
