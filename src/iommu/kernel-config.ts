import {gunzipSync} from 'node:zlib';
import type {Attributes} from './attributes.js';

/** The configuration that a kernel was built with. */
export interface KernelConfig {
  path: string;
  /** `y`, `m`, or `n` for an option that is not set or does not exist. */
  option(name: string): string;
}

const LIMIT = 4 * 1024 * 1024;

/** Finds it where distributions leave it; null when none can be read, so that nothing is concluded from it. */
export const readKernelConfig = (attributes: Attributes, release: string | null): KernelConfig | null => {
  const {tree} = attributes;
  const packed = tree.inspect('/proc/config.gz', (at) => unpack(at(0, LIMIT)));
  if (typeof packed === 'string') return parse('/proc/config.gz', packed);
  if (release === null || release.includes('/')) return null;
  for (const path of [`/boot/config-${release}`, `/lib/modules/${release}/config`]) {
    const text = tree.text(path, LIMIT);
    if (typeof text === 'string') return parse(path, text);
  }
  return null;
};

const parse = (path: string, text: string): KernelConfig => ({
  path,
  option: (name) => new RegExp(`^${name}=(\\S+)$`, 'm').exec(text)?.[1] ?? 'n',
});

const unpack = (bytes: Buffer): string | null => {
  try {
    return gunzipSync(bytes, {maxOutputLength: LIMIT}).toString('latin1');
  } catch {
    return null;
  }
};
