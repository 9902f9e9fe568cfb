import {Failure} from '../../src/failure.js';

/**
 * Does something again while no thread of the owner could be stopped, which is what kvfio advises: on a machine that is too busy
 * to let the owner run for a second, its only thread makes no call in that time.
 */
export const tryAgain = <T>(work: () => T): T => {
  for (let left = 10; ; left -= 1) {
    try {
      return work();
    } catch (error) {
      if (left === 0 || !(error instanceof Failure) || error.code !== 'OWNER_NO_THREAD') throw error;
    }
  }
};
