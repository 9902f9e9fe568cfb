import {setFlagsFromString} from 'node:v8';

/**
 * Has V8 optimise no more code, in any thread, until what is returned is disposed of. For whoever is about to read thousands
 * of small files: most of the time is the kernel's, and to compile optimised code takes a third of what reading 5,000
 * devices takes. Whoever goes on to compute has it back: without, that takes many times longer.
 *
 * Not to be called sooner than that: V8 takes what Node has compiled of its own modules in advance, and the package of its
 * own, only with the flags that it was compiled with.
 */
export const stopOptimising = (): Disposable => {
  setFlagsFromString('--no-opt');
  return {
    [Symbol.dispose]: () => {
      setFlagsFromString('--opt');
    },
  };
};
