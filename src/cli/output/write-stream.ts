import {flush} from './flush.js';

/**
 * Writes texts to stdout, many at once, and more when those are out, so that a slow reader does not fill the memory. What is left
 * is dropped once stdout takes nothing more (main.ts says what that means).
 *
 * @returns whether all of them are out.
 */
export const writeStream = async (pieces: Iterable<string>): Promise<boolean> => {
  const some = Buffer.allocUnsafeSlow(SOME);
  let length = 0;
  const flushed = async (): Promise<boolean> => {
    const full = some.subarray(0, length);
    length = 0;
    return flush(process.stdout, full);
  };
  try {
    for (const piece of pieces) {
      // a character of JavaScript has three bytes at most
      const most = 3 * piece.length;
      if (length + most > SOME && length > 0 && !(await flushed())) return false;
      if (most <= SOME) length += some.write(piece, length);
      else if (!(await flush(process.stdout, piece))) return false;
    }
  } catch (error) {
    // what was made before it is out
    await flushed();
    throw error;
  }
  return flushed();
};

/** Bytes that are written at once. */
const SOME = 128 * 1024;

/** Lines, each with its end. */
export function* linePieces(lines: Iterable<string>): Generator<string> {
  for (const line of lines) yield `${line}\n`;
}
