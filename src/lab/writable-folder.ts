import {accessSync, constants, mkdirSync, realpathSync} from 'node:fs';
import {Failure} from '../failure.js';

/**
 * The real path of a folder that this user may write to, made where it is missing.
 *
 * @param named how the user names another one, such as `with --out`
 * @throws Failure when it is not a folder or may not be written to
 */
export const writableFolder = (path: string, named: string): string => {
  try {
    mkdirSync(path, {recursive: true});
    accessSync(path, constants.W_OK | constants.X_OK);
    return realpathSync(path);
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code ?? 'EIO';
    const isNoFolder = errno === 'EEXIST' || errno === 'ENOTDIR';
    throw new Failure({
      code: 'LAB_FOLDER',
      kind: isNoFolder ? 'usage' : 'permission',
      what: `The lab cannot write to ${path}.`,
      why: isNoFolder ? 'It is not a folder.' : `The kernel answered ${errno}.`,
      hint: `Name a folder that this user may write to ${named}.`,
      errno,
      cause: error,
    });
  }
};
