import {execFileSync} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

/**
 * The values of C expressions by the headers of this machine; undefined for a system call that is newer than they are.
 *
 * @param preamble - lines of C before them, which include those headers
 */
export const valuesOfC = (preamble: string, expressions: readonly string[]): (number | undefined)[] => {
  const directory = mkdtempSync(join(tmpdir(), 'kvfio-values-'));
  try {
    const source = join(directory, 'numbers.c');
    const program = join(directory, 'numbers');
    writeFileSync(
      source,
      `#include <stdio.h>\n${preamble}\nint main(void) {\n${expressions.map(lineFor).join('\n')}\n}\n`,
    );
    execFileSync('cc', ['-o', program, source]);
    return execFileSync(program, {encoding: 'utf8'})
      .trim()
      .split('\n')
      .map((text) => (text === NONE ? undefined : Number(text)));
  } finally {
    rmSync(directory, {recursive: true});
  }
};

const NONE = 'none';

const lineFor = (expression: string): string => {
  const line = `printf("%ld\\n", (long)(${expression}));`;
  return expression.startsWith('SYS_')
    ? `\n#ifdef ${expression}\n${line}\n#else\nputs("${NONE}");\n#endif`
    : line;
};
