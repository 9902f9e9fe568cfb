/**
 * Runs one benchmark in a process of its own, and prints its figures as JSON, or why there are none.
 *
 *     node one.mjs NAME SIZE
 */
import type {Size} from '../support/place.js';
import {BENCHMARKS} from './benchmarks.js';
import type {Measured} from './rows.js';

const [, , name = '', size = ''] = process.argv;

const measure = async (): Promise<Measured> => {
  try {
    const loaded = await BENCHMARKS[name]?.();
    if (loaded === undefined) return {missing: `there is no benchmark ${name}`};
    return {figures: await loaded.benchmark.measure(size as Size)};
  } catch (error) {
    return {missing: error instanceof Error ? error.message : String(error)};
  }
};

console.log(JSON.stringify(await measure()));
