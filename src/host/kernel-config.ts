import type * as Zlib from 'node:zlib';
import type {Capture} from './capture.js';
import type {Attributes} from './attributes.js';

/** The configuration that a kernel was built with. */
export interface KernelConfig {
  path: string;
  /** `y`, `m`, or `n` for an option that is not set or does not exist. */
  option(name: string): string;
}

const PACKED = '/proc/config.gz';

const places = (release: string): string[] => [`/boot/config-${release}`, `/lib/modules/${release}/config`];

const LIMIT = 4 * 1024 * 1024;

/** Finds it where distributions leave it; null when none can be read, so that nothing is concluded from it. */
export const readKernelConfig = (attributes: Attributes, release: string | null): KernelConfig | null => {
  const {tree} = attributes;
  const packed = tree.inspect(PACKED, (at) => unpack(at(0, LIMIT)));
  if (typeof packed === 'string') return parse(PACKED, packed);
  if (release === null || release.includes('/')) return null;
  for (const path of places(release)) {
    const text = tree.text(path, LIMIT);
    if (typeof text === 'string') return parse(path, text);
  }
  return null;
};

/** Cuts a captured configuration down to what kvfio asks of it: the rest shows who built the kernel, and where. */
export const cutKernelConfig = (
  {texts, parts}: Pick<Capture, 'texts' | 'parts'>,
  release: string | null,
): void => {
  for (const path of release === null ? [] : places(release)) {
    const text = texts[path];
    if (text !== undefined) texts[path] = relevantOptions(text);
  }
  const packed = parts[PACKED]?.['0'];
  if (packed === undefined) return;
  const text = unpack(Buffer.from(packed, 'hex'));
  parts[PACKED] = text === null ? {} : {0: zlib().gzipSync(relevantOptions(text)).toString('hex')};
};

const relevantOptions = (text: string): string =>
  (text.match(/^CONFIG_(?:\w*(?:IOMMU|SMMU|VFIO|KVM)\w*|MODULES)=[ymn]$/gm) ?? [])
    .map((line) => `${line}\n`)
    .join('');

const parse = (path: string, text: string): KernelConfig => ({
  path,
  option: (name) => new RegExp(`^${name}=(\\S+)$`, 'm').exec(text)?.[1] ?? 'n',
});

const unpack = (bytes: Buffer): string | null => {
  try {
    return zlib().gunzipSync(bytes, {maxOutputLength: LIMIT}).toString('latin1');
  } catch {
    return null;
  }
};

/** Most commands unpack nothing, and loading it takes longer than all that they read. */
const zlib = (): typeof Zlib => process.getBuiltinModule('node:zlib');
