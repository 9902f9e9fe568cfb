import assert from 'node:assert/strict';
import fc from 'fast-check';
import {jsonPieces} from '../../../src/cli/output/json-pieces.js';
import {printableJson} from '../../../src/printable.js';

const joined = (document: object): string => [...jsonPieces(document)].join('');

describe('a document in pieces', () => {
  it('has the bytes of the whole one, whatever is in it', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({unit: 'binary'}), fc.jsonValue()), (document) => {
        assert.equal(joined(document), `${printableJson(document, 2)}\n`);
      }),
    );
  });

  it('has them for a list whose name steers a terminal', () => {
    assert.equal(joined({'\u007f': []}), `${printableJson({'\u007f': []}, 2)}\n`);
  });

  it('has them for lists of every length, and for what no document should have', () => {
    const items = Array.from({length: 130}, (_, at) => ({at, name: `Größe \u007f ${at}`, list: [at, []]}));
    for (const length of [0, 1, 39, 40, 41, 80, 130]) {
      const document = {first: 1, list: items.slice(0, length), none: undefined, last: [undefined, null]};
      assert.equal(joined(document), `${printableJson(document, 2)}\n`, `${length} items`);
    }
    assert.equal(joined({}), '{}\n');
    assert.equal(joined({none: undefined}), '{}\n');
  });

  it('asks for the items of a list, and for later fields, when those before are out', () => {
    const asked: string[] = [];
    function* items(): Generator<number> {
      for (let at = 0; at < 100; at++) {
        asked.push(String(at));
        yield at;
      }
    }
    const pieces = jsonPieces({
      list: items(),
      get last() {
        asked.push('last');
        return 1;
      },
    });
    pieces.next();
    assert.ok(asked.length < 100);
    const rest = [...pieces].join('');
    assert.ok(rest.endsWith('99\n  ],\n  "last": 1\n}\n'));
    assert.deepEqual(asked.slice(99), ['99', 'last']);
  });
});
