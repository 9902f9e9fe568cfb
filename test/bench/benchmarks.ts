import type {Benchmark} from './benchmark.js';

/** All benchmarks by name, in the order of the table. */
export const BENCHMARKS: Readonly<Record<string, () => Promise<{benchmark: Benchmark}>>> = {
  calibration: () => import('./calibration.js'),
  'start-up': () => import('./start-up.js'),
  create: () => import('./create.js'),
  groups: () => import('./groups.js'),
  vms: () => import('./vms.js'),
  'owner-pause': () => import('./owner-pause.js'),
  probe: () => import('./probe.js'),
};
