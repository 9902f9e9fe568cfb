/** Breaks a paragraph at spaces so that it fits `width` columns, indented; unbroken when width is null. */
export const wrapped = (text: string, width: number | null, indent: string): string[] => {
  if (width === null) return [indent + text];
  const room = Math.max(20, Math.min(width, 100) - indent.length);
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(indent + line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, indent + line];
};
