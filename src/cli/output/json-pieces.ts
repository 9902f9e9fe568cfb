import {JsonText} from './json-text.js';
import {printableJson} from '../../printable.js';

/**
 * The text of `printableJson(document, 2)` and a line end, in pieces: the items of the document's own lists, which may be made
 * as they are asked for, are put into words one by one. So a document of 100 MB never is one text in memory.
 */
export function* jsonPieces(document: object): Generator<string> {
  let before = '{\n';
  // one after the other: the later fields of some documents are known when the earlier have been printed
  for (const key of Object.keys(document)) {
    const value = (document as Record<string, unknown>)[key];
    if (value === undefined) continue;
    if (isList(value)) yield* listPieces(`${before}  ${printableJson(key, 0)}: [`, value);
    else yield before + inner({[key]: value});
    before = ',\n';
  }
  yield before === ',\n' ? '\n}\n' : '{}\n';
}

const isList = (value: unknown): value is Iterable<unknown> =>
  typeof value === 'object' && value !== null && Symbol.iterator in value;

function* listPieces(head: string, list: Iterable<unknown>): Generator<string> {
  const json = new JsonText();
  let before = head;
  for (const item of list) {
    yield `${before}\n    ${json.of(item, '\n    ')}`;
    before = ',';
  }
  yield before === ',' ? '\n  ]' : `${head}]`;
}

/** What stands between the braces, which are on lines of their own. */
const inner = (value: object): string => printableJson(value, 2).slice('{\n'.length, -'\n}'.length);
