import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {Failure} from '../../src/failure.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {SyscallError} from '../../src/linux/errno.js';
import {openTree} from '../../src/host/open-tree.js';
import {descriptors} from '../support/descriptors.js';

describe('a folder as a machine', () => {
  let root: string;
  let tree: DirectoryTree;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'kvfio-tree-'));
    mkdirSync(join(root, 'sys'));
    mkdirSync(join(root, 'proc'));
    tree = new DirectoryTree(root);
  });
  afterEach(() => {
    rmSync(root, {recursive: true});
  });

  const code = (answer: unknown): string => {
    assert.ok(answer instanceof SyscallError);
    return answer.code;
  };
  const write = (path: string, content: string | Buffer): string => {
    writeFileSync(join(root, path), content);
    return path;
  };

  it('reads a whole file, small or of many pages, under /sys and elsewhere', () => {
    for (const folder of ['/sys', '/proc']) {
      for (const length of [0, 1, 4095, 4096, 4097, 64 * 1024]) {
        assert.equal(tree.text(write(`${folder}/f`, 'x'.repeat(length))), 'x'.repeat(length));
      }
    }
  });

  it('does not mix what it read before into a shorter file', () => {
    tree.text(write('/sys/long', 'x'.repeat(5000)));
    assert.equal(tree.text(write('/sys/short', 'y')), 'y');
  });

  it('refuses a file beyond the limit', () => {
    assert.equal(code(tree.text(write('/sys/big', Buffer.alloc(64 * 1024 + 1)))), 'EFBIG');
    assert.equal(tree.text('/sys/big', 1024 * 1024), '\0'.repeat(64 * 1024 + 1));
  });

  it('reads parts of a file, fewer bytes at its end', () => {
    write('/sys/config', Buffer.from([0, 1, 2, 3]));
    assert.deepEqual(
      tree.inspect('/sys/config', (at) => [[...at(1, 2)], [...at(3, 2)], [...at(9, 2)]]),
      [[1, 2], [3], []],
    );
  });

  it('reads a part that is larger than those before it, and a text meanwhile', () => {
    const large = Buffer.alloc(100_000, 'abc');
    write('/sys/large', large);
    write('/sys/small', 'x');
    const [few, text, all] = tree.inspect('/sys/large', (at) => {
      const part = at(0, 3);
      const meanwhile = tree.text('/sys/small');
      return [part.toString(), meanwhile, at(0, 200_000).equals(large)];
    }) as unknown[];
    assert.deepEqual([few, text, all], ['abc', 'x', true]);
  });

  it('passes on what the reader of parts throws, and closes the file', () => {
    write('/sys/config', 'x');
    const before = descriptors();
    assert.throws(() => tree.inspect('/sys/config', () => assert.fail('mine')), /mine/);
    assert.deepEqual(descriptors(), before);
  });

  it('leaves no descriptor open, whatever the answer was', () => {
    mkdirSync(join(root, 'sys/folder'));
    write('/sys/file', 'x');
    const before = descriptors();
    for (const path of ['/sys/file', '/sys/folder', '/sys/missing']) {
      tree.text(path);
      tree.inspect(path, (at) => at(0, 1));
      tree.list(path);
      tree.link(path);
    }
    assert.deepEqual(descriptors(), before);
  });

  it("answers the kernel's refusal where a file is something else", async () => {
    mkdirSync(join(root, 'sys/folder'));
    write('/sys/file', 'x');
    symlinkSync('loop', join(root, 'sys/loop'));
    assert.equal(code(tree.text('/sys/folder')), 'EISDIR');
    assert.equal(code(tree.text('/sys/missing')), 'ENOENT');
    assert.equal(code(tree.text('/sys/file/below')), 'ENOTDIR');
    assert.equal(code(tree.text('/sys/loop')), 'ELOOP');
    assert.equal(code(tree.list('/sys/file')), 'ENOTDIR');
    assert.equal(code(tree.link('/sys/file')), 'EINVAL');
    assert.equal(code(tree.text(`/sys/${'x'.repeat(5000)}`)), 'ENAMETOOLONG');
    assert.equal(code(tree.text('/sys/a\0b')), 'EINVAL');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(root, 'sys/socket'), resolve));
    assert.equal(code(tree.text('/sys/socket')), 'ENXIO');
    await new Promise((resolve) => server.close(resolve));
  });

  it('is not left by a link, absolute, with dots, or on the way', () => {
    const outside = mkdtempSync(join(tmpdir(), 'kvfio-outside-'));
    writeFileSync(join(outside, 'secret'), 'secret');
    symlinkSync('secret', join(outside, 'link'));
    mkdirSync(join(root, 'sys/class'));
    const up = '../'.repeat(20);
    for (const [name, target] of [
      ['absolute', outside],
      ['dots', `${up}${outside.slice(1)}`],
      ['twice', 'absolute'],
      ['through', '/sys/class/dots'],
    ] as const) {
      symlinkSync(target, join(root, 'sys/class', name));
      symlinkSync(`${target}/secret`, join(root, 'proc', name));
      for (const path of [`/sys/class/${name}/secret`, `/proc/${name}`]) {
        assert.equal(code(tree.text(path)), 'ENOENT', path);
        assert.equal(code(tree.inspect(path, (at) => at(0, 9))), 'ENOENT', path);
      }
      assert.equal(code(tree.list(`/sys/class/${name}`)), 'ENOENT', name);
      assert.equal(code(tree.link(`/sys/class/${name}/link`)), 'ENOENT', name);
    }
    assert.equal(code(tree.list(`/sys/${up}${outside}`)), 'ENOENT');
    rmSync(outside, {recursive: true});
  });

  it('has links within, also absolute ones, lead where they would on its machine', () => {
    mkdirSync(join(root, 'sys/devices/virtual/dmar0'), {recursive: true});
    mkdirSync(join(root, 'sys/class'));
    write('/sys/devices/virtual/dmar0/version', '1:0');
    symlinkSync('version', join(root, 'sys/devices/virtual/dmar0/alias'));
    symlinkSync('../devices/virtual/dmar0', join(root, 'sys/class/relative'));
    symlinkSync('/sys/devices/virtual/dmar0', join(root, 'sys/class/absolute'));
    symlinkSync('/../sys/./class//absolute/', join(root, 'sys/class/round'));
    symlinkSync('/sys/class/relative/version', join(root, 'proc/version'));
    for (const name of ['relative', 'absolute', 'round', 'round/../dmar0']) {
      assert.equal(tree.text(`/sys/class/${name}/version`), '1:0', name);
      assert.deepEqual([...(tree.list(`/sys/class/${name}`) as string[])].sort(), ['alias', 'version'], name);
      assert.equal(tree.link(`/sys/class/${name}/alias`), 'version', name);
      assert.equal(code(tree.text(`/sys/class/${name}/alias`)), 'ELOOP', name);
    }
    assert.equal(tree.text('/proc/version'), '1:0');
    assert.deepEqual([...(tree.list('/') as string[])].sort(), ['proc', 'sys']);
  });

  it('has a refusal, and an error that is none, tell where they come from', () => {
    const limit = Error.stackTraceLimit;
    for (const call of ['text', 'list', 'link'] as const) {
      const refused = tree[call](`/sys/missing-${call}`);
      assert.ok(refused instanceof SyscallError);
      assert.match(refused.stack ?? '', /\n\s+at .*tree\.test\.ts/, call);
      assert.throws(
        () => tree[call](Symbol('no path') as unknown as string),
        (error: Error) => /\n\s+at .*tree\.test\.ts/.test(error.stack ?? ''),
        call,
      );
      assert.equal(Error.stackTraceLimit, limit);
    }
  });

  it('finds what others of its name had not, and answers as before what is not there again', () => {
    for (const name of ['a', 'b', 'c', 'd']) mkdirSync(join(root, 'sys', name));
    write('/sys/c/f', 'x');
    symlinkSync('f', join(root, 'sys/c/l'));
    const all = (folder: string): unknown[] => [
      tree.text(`/sys/${folder}/f`),
      tree.inspect(`/sys/${folder}/f`, (at) => at(0, 9).toString()),
      tree.link(`/sys/${folder}/l`),
    ];
    for (const folder of ['a', 'b', 'c', 'd', 'none']) {
      if (folder === 'c') assert.deepEqual(all(folder), ['x', 'x', 'f']);
      else assert.deepEqual(all(folder).map(code), ['ENOENT', 'ENOENT', 'ENOENT'], folder);
    }
    const [missing] = [tree.text('/sys/a/f'), tree.text('/sys/b/f')].slice(1);
    assert.ok(missing instanceof SyscallError);
    assert.deepEqual([missing.syscall, missing.path], ['open', '/sys/b/f']);
  });

  describe('whose files are read near to each other', () => {
    const PATHS = [
      '/sys/devices/a/uevent',
      '/sys/devices/a/power/status',
      '/sys/devices/a/tsm/bound',
      '/sys/devices/type',
      '/sys/devices/a',
      '/sys/devices/b/link',
      '/sys/devices/linked/uevent',
      '/sys/devices/b/linked/uevent',
      '/sys/devices/out/secret',
      '/sys/devices/b/out/secret',
      '/sys/devices/none/uevent',
      '/sys/devices/b/.',
      '/sys/devices/b/..',
      '/sys',
      '/proc/file',
      '/sys/a\0b/c',
    ];
    let outside: string;

    beforeEach(() => {
      outside = mkdtempSync(join(tmpdir(), 'kvfio-outside-'));
      writeFileSync(join(outside, 'secret'), 'secret');
      for (const folder of ['a/power', 'b']) mkdirSync(join(root, 'sys/devices', folder), {recursive: true});
      for (const file of ['a/uevent', 'a/power/status', 'type']) write(`/sys/devices/${file}`, file);
      write('/proc/file', 'file');
      symlinkSync('x', join(root, 'sys/devices/b/link'));
      for (const place of ['', 'b/']) {
        symlinkSync('/sys/devices/a', join(root, `sys/devices/${place}linked`));
        symlinkSync(outside, join(root, `sys/devices/${place}out`));
      }
    });
    afterEach(() => {
      rmSync(outside, {recursive: true});
    });

    const all = (): unknown[] =>
      PATHS.flatMap((path) => [
        tree.text(path),
        tree.inspect(path, (at) => at(0, 9).toString()),
        tree.link(path),
        tree.list(path),
      ]).map((answer) =>
        answer instanceof SyscallError ? `${answer.syscall} ${answer.path ?? ''} ${answer.code}` : answer,
      );

    for (const [name, named] of [
      ['a folder', () => root],
      [
        'a folder behind a link',
        () => {
          symlinkSync(root, join(outside, 'root'));
          return join(outside, 'root');
        },
      ],
    ] as const)
      it(`answers the same, and comes back: ${name}`, () => {
        const before = [process.cwd(), descriptors()];
        tree = new DirectoryTree(named());
        const plain = [...all(), ...all()];
        assert.ok(!JSON.stringify(plain).includes('"secret"'));
        tree = new DirectoryTree(tree.root);
        assert.deepEqual(
          tree.near(() => [...all(), ...tree.near(all)]),
          plain,
        );
        assert.deepEqual([process.cwd(), descriptors()], before);
        assert.throws(() => tree.near(() => assert.fail('mine')), /mine/);
        assert.deepEqual([process.cwd(), descriptors()], before);
      });

    it('finds that a folder has gone, and another that came in its place', () => {
      tree.near(() => {
        assert.equal(tree.text('/sys/devices/a/uevent'), 'a/uevent');
        rmSync(join(root, 'sys/devices/a'), {recursive: true});
        assert.equal(code(tree.text('/sys/devices/a/uevent')), 'ENOENT');
        assert.equal(code(tree.list('/sys/devices/a')), 'ENOENT');
        mkdirSync(join(root, 'sys/devices/a'));
        write('/sys/devices/a/uevent', 'new');
        tree.list('/sys/devices');
        assert.equal(tree.text('/sys/devices/a/uevent'), 'new');
      });
    });
  });

  it('does not wait at a pipe', () => {
    assert.equal(spawnSync('mkfifo', [join(root, 'sys/pipe')]).status, 0);
    assert.equal(tree.text('/sys/pipe'), '');
  });

  it('does not follow a link in the place of an attribute, which sysfs never has', () => {
    write('/outside', 'secret');
    symlinkSync('../outside', join(root, 'sys/attribute'));
    symlinkSync('/dev/zero', join(root, 'sys/device'));
    assert.equal(code(tree.text('/sys/attribute')), 'ELOOP');
    assert.equal(code(tree.inspect('/sys/device', (at) => at(0, 1))), 'ELOOP');
  });

  it('follows links elsewhere: distributions move pci.ids about', () => {
    write('/real', 'names');
    symlinkSync('real', join(root, 'names'));
    assert.equal(tree.text('/names'), 'names');
  });

  describe('as --sysroot', () => {
    const refusal = (path: string): [string, number] => {
      let failure: unknown;
      try {
        openTree(path);
      } catch (error) {
        failure = error;
      }
      assert.ok(failure instanceof Failure);
      return [failure.code, failure.exitCode];
    };

    it('is taken with and without a slash at its end', () => {
      assert.equal(openTree(`${root}//`).origin.path, root);
      assert.equal(openTree('/').origin.kind, 'host');
    });

    it('needs a folder named sys', () => {
      rmSync(join(root, 'sys'), {recursive: true});
      assert.deepEqual(refusal(root), ['SYSROOT_UNUSABLE', 2]);
    });

    it('has to exist', () => {
      assert.deepEqual(refusal(join(root, 'nowhere')), ['SYSROOT_UNREADABLE', 3]);
    });

    it('may not be a device or a pipe', () => {
      assert.deepEqual(refusal('/dev/zero'), ['SYSROOT_UNUSABLE', 2]);
      assert.equal(spawnSync('mkfifo', [join(root, 'pipe')]).status, 0);
      assert.deepEqual(refusal(join(root, 'pipe')), ['SYSROOT_UNUSABLE', 2]);
    });
  });
});
