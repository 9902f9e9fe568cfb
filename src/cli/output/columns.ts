const ASCII = /^[\x20-\x7e]*$/;

/** Characters that a terminal shows in two columns: W and F of Unicode's EastAsianWidth, in ranges that need no table. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u;

/** Characters that take no column of their own: marks above or below others. */
const MARK = /\p{Mn}|\p{Me}|\u200d/u;

const columnsOfCharacter = (character: string): number =>
  WIDE.test(character) ? 2 : MARK.test(character) ? 0 : 1;

/** Columns that a printable text takes on a terminal. */
export const columnsOf = (text: string): number => {
  if (ASCII.test(text)) return text.length;
  let sum = 0;
  for (const character of text) sum += columnsOfCharacter(character);
  return sum;
};

/** The text, with its end cut off for an ellipsis if it takes more columns. */
export const shortened = (text: string, columns: number): string => {
  if (columnsOf(text) <= columns) return text;
  let kept = '';
  let sum = 0;
  for (const character of text) {
    sum += columnsOfCharacter(character);
    if (sum > columns - 1) break;
    kept += character;
  }
  return `${kept}…`;
};
