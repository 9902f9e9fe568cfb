import {written} from './written.js';

/**
 * Writes to stdout, each piece when the one before it is out, so that a slow reader does not fill the memory. What is left
 * is dropped once stdout takes nothing more (main.ts says what that means).
 *
 * @returns whether all of them are out.
 */
export const writePieces = async (pieces: Iterable<string>): Promise<boolean> => {
  for (const piece of pieces) if (!(await written(process.stdout, piece))) return false;
  return true;
};

/** Lines, each with its end, in pieces of about 64 KB. */
export function* linePieces(lines: Iterable<string>): Generator<string> {
  let piece = '';
  for (const line of lines) {
    piece += `${line}\n`;
    if (piece.length < PIECE) continue;
    yield piece;
    piece = '';
  }
  if (piece !== '') yield piece;
}

const PIECE = 64 * 1024;
