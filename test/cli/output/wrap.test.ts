import assert from 'node:assert/strict';
import {Chalk} from 'chalk';
import {wrapped, wrappedFacts} from '../../../src/cli/output/wrap.js';

const words = 'word '.repeat(40).trim();

describe('a paragraph', () => {
  for (const [what, width, most] of [
    ['the width of a terminal', 60, 60],
    ['at most 100 columns', 200, 100],
  ] as const) {
    it(`is broken at words and at ${what}`, () => {
      const lines = wrapped(words, width, '  ');
      assert.ok(lines.every((line) => line.length <= most && /^ {2}word( word)*$/.test(line)));
      assert.ok((lines[0] ?? '').length > most - 5);
      assert.equal(lines.map((line) => line.trim()).join(' '), words);
    });
  }

  it('is unbroken where there is no terminal', () => {
    assert.deepEqual(wrapped(words, null, '  '), [`  ${words}`]);
  });

  it('keeps a number in one piece, and with its unit', () => {
    assert.deepEqual(wrapped('it takes 26 570 ns or 155.0 µs, 95 % sure, in 300 samples', 24, ''), [
      'it takes 26 570 ns or',
      '155.0 µs, 95 % sure, in',
      '300 samples',
    ]);
    for (let width = 21; width < 80; width += 1)
      for (const line of wrapped('a +1 234 567 ns (95 % sure: -12 000 to 3 ms) bc '.repeat(9), width, ''))
        assert.doesNotMatch(line, /^(?:\d{3}\b|ns|%|ms)|^.*[+-]\d+$/, String(width));
  });

  it('keeps a long word whole', () => {
    assert.deepEqual(wrapped(`a ${'x'.repeat(90)} b`, 80, ''), ['a', 'x'.repeat(90), 'b']);
  });

  it('has no line for the beginning alone when its first word is long', () => {
    assert.deepEqual(wrapped('x'.repeat(90), 80, '  ', 'label '), [`label ${'x'.repeat(90)}`]);
  });

  it('is broken as if it had no colours', () => {
    const red = new Chalk({level: 1}).red;
    assert.deepEqual(
      wrapped(words.replaceAll('word', red('word')), 60, '').map((line) =>
        line.replaceAll(red('word'), 'word'),
      ),
      wrapped(words, 60, ''),
    );
  });
});

describe('wrapped facts', () => {
  it('begin at the left, each on a line of its own, and go on indented', () => {
    assert.deepEqual(wrappedFacts(['short', 'a fact that is longer than the room there is'], 24), [
      'short',
      'a fact that is longer',
      '  than the room there is',
    ]);
  });
});
