import assert from 'node:assert/strict';
import fc from 'fast-check';
import {printable, printableJson} from '../src/printable.js';
import {STEERING} from './support/steering.js';

describe('text from outside', () => {
  it('is left alone where it is harmless', () => {
    for (const text of ['Intel Corporation 82574L', 'Größe 漢字 🙂', '']) assert.equal(printable(text), text);
  });

  it('shows controls instead of obeying them', () => {
    assert.equal(printable('\u001b]0;owned\u0007'), '\\x1b]0;owned\\x07');
    assert.equal(printable('a\tb\r\n'), 'a\\x09b\\x0d\\x0a');
    assert.equal(printable('\u009b31m\u202eevil\u2066'), '\\x9b31m\\u202eevil\\u2066');
  });

  it('never keeps a character that steers a terminal', () => {
    fc.assert(
      fc.property(fc.string({unit: 'binary'}), (text) => {
        assert.doesNotMatch(printable(text), STEERING);
      }),
    );
  });

  it('comes back from JSON exactly as it was, and does not steer on its way', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = printableJson(value, 2);
        assert.doesNotMatch(text.replaceAll('\n', ''), STEERING);
        assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});
