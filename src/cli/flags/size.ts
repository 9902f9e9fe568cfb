import {usageFailure} from '../usage/usage-failure.js';

const UNITS: Record<string, number> = {'': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3};

/**
 * Bytes of a size such as `512K`, `8M` or `1G`.
 *
 * @param flag - that it was given to
 * @throws {@link Failure} when it is none, or above `most`
 */
export const parseSize = (text: string, flag: string, most: number): number => {
  const [, digits = '', unit = ''] = /^(\d{1,15})(?:([KMG])(?:i|i?B)?|B)?$/i.exec(text.trim()) ?? [];
  const bytes = Number(digits) * (UNITS[unit.toUpperCase()] ?? NaN);
  if (digits !== '' && bytes <= most) return bytes;
  throw usageFailure(
    digits === '' ? `"${text}" is not a size for --${flag}.` : `${text} is too much for --${flag}.`,
    `Give bytes, or a number with K, M or G, of at most ${most / 1024 ** 2}M.`,
  );
};
