import {printableJson} from '../../printable.js';

/**
 * The text that printableJson() makes of values, of many that are alike: what is the very same object as a little before, such as a
 * verdict that many devices share, is not put into words again. So no object may change while it is in use here.
 */
export class JsonText {
  readonly #known = new Map<string, Known>();
  readonly #heads = new Map<string, string>();

  /** @param margin what stands before each line but the first. */
  of(value: unknown, margin: string): string {
    if (typeof value === 'string') return quoted(value);
    if (typeof value === 'number') return Number.isFinite(value) ? String(value) : 'null';
    if (typeof value === 'boolean') return value ? 'true' : 'false';
    if (typeof value !== 'object' || value === null) return 'null';
    return Array.isArray(value) ? this.#list(value, margin) : this.#record(value, margin);
  }

  #list(list: readonly unknown[], margin: string): string {
    if (list.length === 0) return '[]';
    const inner = `${margin}  `;
    let text = '[';
    for (let at = 0; at < list.length; at++)
      text += `${at === 0 ? '' : ','}${inner}${this.of(list[at], inner)}`;
    return `${text}${margin}]`;
  }

  #record(record: object, margin: string): string {
    const inner = `${margin}  `;
    let text = '';
    for (const key of Object.keys(record)) {
      const value = (record as Record<string, unknown>)[key];
      if (value === undefined) continue;
      const head = this.#head(key, inner);
      text += `${text === '' ? '{' : ','}${head}`;
      text +=
        typeof value === 'object' && value !== null
          ? this.#member(value, head, inner)
          : this.of(value, inner);
    }
    return text === '' ? '{}' : `${text}${margin}}`;
  }

  #head(key: string, margin: string): string {
    const place = margin + key;
    let head = this.#heads.get(place);
    if (head === undefined) this.#heads.set(place, (head = `${margin}${quoted(key)}: `));
    return head;
  }

  /** What stands under one key, of which the last few are kept. */
  #member(value: object, head: string, margin: string): string {
    let known = this.#known.get(head);
    if (known === undefined) this.#known.set(head, (known = {values: [], texts: [], next: 0}));
    const {values, texts} = known;
    const at = values.indexOf(value);
    if (at !== -1) return texts[at] ?? '';
    const text = this.of(value, margin);
    values[known.next] = value;
    texts[known.next] = text;
    known.next = (known.next + 1) % KEPT;
    return text;
  }
}

interface Known {
  values: object[];
  texts: string[];
  /** Index of the text that is replaced next. */
  next: number;
}

const KEPT = 8;

const quoted = (text: string): string => (PLAIN.test(text) ? `"${text}"` : printableJson(text));

/** Text in which nothing has to be escaped. */
const PLAIN = /^[ !#-[\]-~]*$/;
