import {columnsOf} from './columns.js';

/** Columns beyond which prose is no easier to read. */
const WIDEST = 100;

/**
 * Breaks a paragraph at spaces so that it fits `width` columns; null leaves it unbroken, for whoever greps it. A word that is
 * longer stays whole. Colours take no room.
 *
 * @param indent - before each line
 * @param begin - before the first line, in place of `indent`
 */
export const wrapped = (text: string, width: number | null, indent: string, begin = indent): string[] => {
  const most = width === null ? Infinity : Math.min(width, WIDEST);
  const lines: string[] = [];
  let line = begin;
  let isEmpty = true;
  for (const word of text.split(BREAK)) {
    // without room for anything a paragraph is narrow rather than a word a line
    const room = Math.max(most, visibleLength(lines.length === 0 ? begin : indent) + LEAST_ROOM);
    if (!isEmpty && visibleLength(line) + 1 + visibleLength(word) > room) {
      lines.push(line);
      line = indent + word;
    } else line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line];
};

/** A space that is not within a number, nor between one and its unit. */
const BREAK = /(?<!\d) | (?!\d{3}(?!\d)|(?:ns|µs|ms|s|kHz|%)(?!\w))/;

const LEAST_ROOM = 20;

/** A text beside what it is about, or below it where a terminal has no room for both. */
export const beside = (left: string, text: string, width: number): string[] =>
  width - left.length >= Math.min(text.length, LEAST_ROOM)
    ? wrapped(text, width, ' '.repeat(left.length), left)
    : [left.trimEnd(), ...wrapped(text, width, ' '.repeat(6))];

/** One fact for each text, the first line at the left, where whoever greps for it expects it. */
export const wrappedFacts = (texts: readonly string[], width: number | null): string[] =>
  texts.flatMap((text) => wrapped(text, width, '  ', ''));

/** Columns of the terminal on stderr; null when it is none, so that a log has one line for each sentence. */
export const stderrWidth = (): number | null =>
  process.stderr.isTTY ? process.stderr.columns || Number(process.env['COLUMNS']) || 80 : null;

/** Columns that a text takes, without what colours it. */
export const visibleLength = (text: string): number => columnsOf(text.replace(/\u001b\[[0-9;]*m/g, ''));
