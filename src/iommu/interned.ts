/**
 * One string for all that read the same. Names of drivers and types, and ids, come out of each device's own file; of a
 * machine with 50,000 devices they would be half of the memory.
 */
export class Interned {
  readonly #texts = new Map<string, string>();
  readonly #lists = new Map<string, string[]>();

  text(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    this.#texts.set(text, text);
    return text;
  }

  /** The one list of all that have the same words; it must not be changed. */
  list(words: readonly string[]): string[] {
    const key = words.join(' ');
    const known = this.#lists.get(key);
    if (known !== undefined) return known;
    const list = [...words];
    this.#lists.set(key, list);
    return list;
  }
}
