/**
 * Characters that could steer a terminal or reorder what is read: C0 and C1 controls, DEL, line and paragraph
 * separators, and the Unicode bidirectional controls. Names from sysfs or from a peer may contain any of them.
 */
const STEERING_BEYOND_C0 = /[\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const STEERING = new RegExp(`[\\u0000-\\u001f]|${STEERING_BEYOND_C0.source}`, 'g');

/** Makes text from outside safe for one line of a terminal: each steering character becomes visible, as `\x1b`. */
export const printable = (text: string): string =>
  text.replace(STEERING, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });

/** JSON text in which no character steers a terminal; parsing it gives back exactly `value`. */
export const printableJson = (value: unknown, indent?: number): string => {
  // JSON.stringify has made all of C0 visible but the line ends of the indentation
  const text = JSON.stringify(value, null, indent);
  // of ASCII, which nearly all text is, only DEL steers after JSON.stringify, and this search is faster than the replacement
  if (Buffer.byteLength(text) === text.length && !text.includes('\u007f')) return text;
  return text.replace(
    STEERING_BEYOND_C0,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
};
