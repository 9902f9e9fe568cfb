import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {linkSync, mkdirSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import fc from 'fast-check';

/** Bytes that a damaged or malicious tree may hold in the place of an attribute. */
const content = fc.oneof(
  fc.uint8Array({maxLength: 300}).map((bytes) => Buffer.from(bytes)),
  fc.string({unit: 'binary', maxLength: 100}).map((text) => Buffer.from(text)),
  fc
    .constantFrom(
      '',
      '\n',
      '\0',
      '\u001b[2J\u001b]0;x\u0007',
      '\u009b31m\u202eevil',
      '0xzz',
      '-1',
      '9'.repeat(400),
    )
    .map((text) => Buffer.from(text)),
  fc
    .array(
      fc.constantFrom(
        'DRIVER=',
        'PCI_ID=8086:10D3',
        'PCI_CLASS=',
        'PCI_SLOT_NAME=0000:01:00.0',
        'PCI_CLASS=FFFFFFF',
        '=',
        '\u001b',
      ),
      {maxLength: 8},
    )
    .map((lines) => Buffer.from(lines.join('\n'))),
  fc.constant(Buffer.alloc(1024 * 1024, 'A')),
);

export type Damage =
  | {kind: 'content'; bytes: Buffer}
  | {kind: 'folder' | 'pipe' | 'loop' | 'gone' | 'socket'}
  | {kind: 'link'; target: string}
  | {kind: 'neighbour'; name: Buffer};

export const damage: fc.Arbitrary<Damage> = fc.oneof(
  {weight: 4, arbitrary: content.map((bytes) => ({kind: 'content' as const, bytes}))},
  {
    weight: 2,
    arbitrary: fc.constantFrom('folder' as const, 'pipe', 'loop', 'gone', 'socket').map((kind) => ({kind})),
  },
  {
    weight: 2,
    arbitrary: fc
      .oneof(
        fc.constantFrom(
          '/etc/passwd',
          '/dev/zero',
          '/',
          '.',
          '..',
          '../../../../../../../../etc',
          '/sys/devices/\u001b[31m',
          '../x/iommu',
        ),
        fc.string({unit: 'binary', minLength: 1, maxLength: 60}).map((text) => text.replaceAll('\0', '0')),
      )
      .map((target) => ({kind: 'link' as const, target})),
  },
  {
    weight: 2,
    arbitrary: fc
      .oneof(
        fc
          .uint8Array({minLength: 1, maxLength: 40, min: 1})
          .map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 0x2f))),
        fc
          .constantFrom('\u001b[2J', 'a\nb', '007', '99999999999', '-1', '0000:01:00.0')
          .map((name) => Buffer.from(name)),
      )
      .filter((name) => name.length > 0 && !['.', '..'].includes(name.toString()))
      .map((name) => ({kind: 'neighbour' as const, name})),
  },
);

/** All files, folders and links below a folder, which themselves are not followed. */
export const below = (root: string, folder: string): string[] =>
  readdirSync(join(root, folder), {withFileTypes: true}).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? [path, ...below(root, path)] : [path];
  });

/**
 * Does one harm to a file of the machine at `root`, and to nothing outside it: an earlier link may lead there.
 *
 * @param socket - one that can be linked to
 */
export const inflict = ({root, socket}: {root: string; socket: string}, path: string, harm: Damage): void => {
  try {
    if (!`${realpathSync(dirname(path))}/`.startsWith(`${realpathSync(root)}/`)) return;
    if (harm.kind === 'neighbour') {
      const name = Buffer.concat([Buffer.from(`${dirname(path)}/`), harm.name]);
      symlinkSync('../../../devices/pci0000:01/0000:01:00.0', name);
      return;
    }
    rmSync(path, {recursive: true, force: true});
    replace(path, harm, socket);
  } catch (error) {
    ignoreEarlierDamage(error);
  }
};

const replace = (path: string, harm: Exclude<Damage, {kind: 'neighbour'}>, socket: string): void => {
  switch (harm.kind) {
    case 'content':
      writeFileSync(path, harm.bytes);
      break;
    case 'folder':
      mkdirSync(path);
      break;
    case 'pipe':
      spawnSync('mkfifo', [path]);
      break;
    case 'socket':
      linkSync(socket, path);
      break;
    case 'loop':
      symlinkSync(path, path);
      break;
    case 'link':
      symlinkSync(harm.target, path);
      break;
    case 'gone':
      break;
  }
};

/** An earlier damage may have taken the folder, or have made the name already. */
const ignoreEarlierDamage = (error: unknown): void => {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  assert.ok(['ENOENT', 'ENOTDIR', 'EEXIST', 'ELOOP', 'ENAMETOOLONG'].includes(code), code);
};
