import {setFlagsFromString} from 'node:v8';

/**
 * Has V8 optimise no more code, in any thread. For whoever is about to read thousands of small files: most of the time is the
 * kernel's, and to compile optimised code takes a third of what reading 5,000 devices takes.
 *
 * Not to be called sooner than that: V8 takes what Node has compiled of its own modules in advance, and the package of its
 * own, only with the flags that it was compiled with.
 */
export const stopOptimising = (): void => {
  setFlagsFromString('--no-opt');
};
