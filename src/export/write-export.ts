import {beginningOf} from '../linux/beginning-of.js';
import {replaceFile} from '../linux/replace-file.js';
import {MARK_WITHIN, type Format} from './format.js';

/**
 * Writes a whole file that everybody may read, since the programs that read it run as users of their own. A file that an export of the
 * same format has written is replaced.
 *
 * @param force replace a file of anybody's
 * @throws Failure when another file is there, or none can be written
 */
export const writeExport = (path: string, bytes: Buffer, format: Format, force: boolean): void => {
  replaceFile(path, bytes, {force: force || isOwn(path, format), mode: 0o644});
};

const isOwn = (path: string, {mark}: Format): boolean =>
  beginningOf(path, MARK_WITHIN)?.includes(mark) === true;
