/** Lines of a table whose first row is its heading; numbers are to the right. */
export const plainTable = (rows: readonly (readonly string[])[]): string => {
  const columns = rows[0]?.length ?? 0;
  const widths = Array.from({length: columns}, (_, at) =>
    Math.max(...rows.map((row) => row[at]?.length ?? 0)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, at) =>
          /^\d+$/.test(cell)
            ? cell.padStart(widths[at] ?? 0)
            : cell.padEnd(at === columns - 1 ? 0 : (widths[at] ?? 0)),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
};
