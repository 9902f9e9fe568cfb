import {accessSync, constants, readFileSync, statfsSync} from 'node:fs';

/**
 * A folder in memory for what tests make, where thousands of small files cost the kernel a sixth of what they cost it on a
 * disk. Undefined where there is none that is large, and from which programs may be executed.
 */
export const memoryFolder = (): string | undefined => {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  const options = mounts.findLast((line) => line.split(' ')[1] === FOLDER && line.split(' ')[2] === 'tmpfs');
  if (options === undefined || /[ ,]noexec[ ,]/.test(options)) return undefined;
  const {bavail, bsize} = statfsSync(FOLDER);
  if (bavail * bsize < LEAST) return undefined;
  try {
    accessSync(FOLDER, constants.W_OK);
    return FOLDER;
  } catch {
    return undefined;
  }
};

const FOLDER = '/dev/shm';

/** Bytes: tests on the host have at most a tenth of that at once. */
const LEAST = 2 ** 30;
