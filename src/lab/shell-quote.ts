/** A word that every POSIX shell reads back as exactly `text`, whatever quotes, blanks or newlines are in it. */
export const shellQuote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Lines of `NAME='value'` that a POSIX shell may source. Names are the caller's own and must be plain. */
export const shellAssignments = (values: Record<string, string>): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}=${shellQuote(value)}\n`)
    .join('');
