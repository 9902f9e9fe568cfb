import type {Trial} from './trial.js';

/** All trials by name: the longest first, so that the lanes end together. */
export const TRIALS: Readonly<Record<string, () => Promise<{trial: Trial}>>> = {
  soak: () => import('./soak.js'),
  'failing-calls': () => import('./failing-calls.js'),
  'kvfio-killed-at-random': () => import('./kvfio-killed-at-random.js'),
  'few-descriptors': () => import('./few-descriptors.js'),
  'full-disk': () => import('./full-disk.js'),
  'kvfio-killed-at-requests': () => import('./kvfio-killed-at-requests.js'),
  'owner-killed-at-random': () => import('./owner-killed-at-random.js'),
  'owner-killed-at-requests': () => import('./owner-killed-at-requests.js'),
  'two-on-one-vm': () => import('./two-on-one-vm.js'),
  'hostile-servers': () => import('./hostile-servers.js'),
  'hostile-clients': () => import('./hostile-clients.js'),
  'damaged-machines': () => import('./damaged-machines.js'),
  'two-on-one-group': () => import('./two-on-one-group.js'),
};
