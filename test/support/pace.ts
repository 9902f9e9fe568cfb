/** How many times longer than on a host everything may take here: an emulated guest is slow (test/run/guest-worker.ts). */
export const SLOWNESS = Number(process.env['KVFIO_TEST_SLOWNESS'] ?? 1);

/** How much of what is tried many times is tried; 10 takes minutes on a host. */
const SCALE = Number(process.env['KVFIO_TEST_SCALE'] ?? 1);

/** A number of rounds that only raises how likely a fault shows, at the scale of this run. */
export const rounds = (count: number): number => Math.ceil(count * SCALE);

/** Of what is tried at each of many places in a row, every so many-th is tried. */
export const STRIDE = Math.max(1, Math.round(1 / SCALE));
