import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import {Failure} from '../failure.js';

/**
 * Where `kvfio vm` listens by default: `kvfio/vm.sock` in the user's own folder for such things, which is
 * $XDG_RUNTIME_DIR, or /run for root. Makes the folder, for its user only.
 *
 * @throws {@link Failure} when the user has none
 */
export const defaultSocket = (): string => {
  const runtime = process.env['XDG_RUNTIME_DIR'] || (process.geteuid?.() === 0 ? '/run' : undefined);
  if (runtime === undefined) {
    throw new Failure({
      code: 'NO_RUNTIME_FOLDER',
      kind: 'usage',
      what: 'There is no usual place for the socket.',
      why: 'XDG_RUNTIME_DIR is not set, and only root may use /run.',
      hint: 'Name a socket with --sock.',
    });
  }
  const folder = join(runtime, 'kvfio');
  try {
    mkdirSync(folder, {mode: 0o700});
  } catch (error) {
    // whether the folder can be used shows when the socket is made
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
  return join(folder, 'vm.sock');
};
