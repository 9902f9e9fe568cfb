import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {Failure} from '../../src/failure.js';
import {kernelImageVersion} from '../../src/lab/kernel-image.js';
import {hostKernel, kernelAt, kernelIn} from '../../src/lab/kernel-tree.js';
import {indexed} from '../../src/lab/module-index.js';
import {which} from '../../src/lab/programs.js';
import {skip} from '../support/skip.js';

/** The start of a bzImage: mark at 0x202, offset of the version string at 0x20e. */
const imageOf = (version: string): Buffer => {
  const image = Buffer.alloc(0x1000);
  image.write('HdrS', 0x202);
  image.writeUInt16LE(0x400, 0x20e);
  image.write(version, 0x600);
  return image;
};

describe('kernelImageVersion', () => {
  it('reads the version that the boot protocol points to', () => {
    assert.equal(
      kernelImageVersion(imageOf('6.1.0-56-amd64 (maintainer) #1 SMP')),
      '6.1.0-56-amd64 (maintainer) #1 SMP',
    );
  });

  for (const [name, bytes] of [
    ['an ELF file', Buffer.from('\x7fELF'.padEnd(0x1000, '\0'))],
    ['an empty file', Buffer.alloc(0)],
    ['an image cut off in its header', imageOf('6.1').subarray(0, 0x20f)],
    ['an image cut off before its version', imageOf('6.1').subarray(0, 0x300)],
  ] as const) {
    it(`says that ${name} is no kernel`, () => {
      assert.equal(kernelImageVersion(bytes), null);
    });
  }
});

describe('where the lab takes a kernel from', () => {
  let root: string;
  const put = (path: string, data: Buffer | string): string => {
    const file = join(root, path);
    mkdirSync(join(file, '..'), {recursive: true});
    writeFileSync(file, data);
    return file;
  };

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'kvfio-test-'));
  });

  afterEach(() => {
    rmSync(root, {recursive: true});
  });

  it('takes the running kernel from /boot with its modules', () => {
    const image = put('boot/vmlinuz-6.9.1', imageOf('6.9.1'));
    put('lib/modules/6.9.1/modules.dep', '');
    assert.deepEqual(hostKernel(root, '6.9.1'), {
      release: '6.9.1',
      image,
      modules: join(root, 'lib/modules/6.9.1'),
      searched: [join(root, 'lib/modules/6.9.1')],
    });
  });

  it('takes the running kernel from its module folder where /boot has none', () => {
    const image = put('lib/modules/6.9.1/vmlinuz', imageOf('6.9.1'));
    put('lib/modules/6.9.1/modules.dep', '');
    assert.equal(hostKernel(root, '6.9.1')?.image, image);
  });

  it('does not take a running kernel whose modules are missing', () => {
    put('boot/vmlinuz-6.9.1', imageOf('6.9.1'));
    assert.equal(hostKernel(root, '6.9.1'), null);
  });

  it('finds the modules beside an unpacked image', () => {
    const image = put('boot/vmlinuz', imageOf('6.9.1-test (x) #1'));
    put('lib/modules/6.9.1-test/modules.dep', '');
    const {searched, ...kernel} = kernelAt(image);
    assert.deepEqual(kernel, {release: '6.9.1-test', image, modules: join(root, 'lib/modules/6.9.1-test')});
    assert.ok(searched.includes('/lib/modules/6.9.1-test'));
  });

  for (const [form, image, modules] of [
    ['an image in boot and modules in lib', 'boot/vmlinuz-6.9.1', 'lib/modules/6.9.1'],
    ['an image in boot and modules in usr/lib', 'boot/vmlinuz-6.9.1', 'usr/lib/modules/6.9.1'],
    ['an image among its modules', 'usr/lib/modules/6.9.1/vmlinuz', 'usr/lib/modules/6.9.1'],
  ] as const) {
    it(`takes a folder with ${form}, also where depmod has not run`, () => {
      const file = put(image, imageOf('6.9.1 (x)'));
      put(`${modules}/kernel/fs/9p/9p.ko.xz`, '');
      for (const kernel of [kernelIn(root), kernelAt(file)])
        assert.deepEqual(
          [kernel.release, kernel.image, kernel.modules],
          ['6.9.1', file, join(root, modules)],
        );
    });
  }

  it('says where it looked for modules that a folder lacks', () => {
    put('usr/lib/modules/6.9.1/vmlinuz', imageOf('6.9.1 (x)'));
    const {modules, searched} = kernelIn(root);
    assert.equal(modules, null);
    assert.deepEqual(searched, [
      join(root, 'lib/modules/6.9.1'),
      join(root, 'usr/lib/modules/6.9.1'),
      '/lib/modules/6.9.1',
    ]);
  });

  it('takes the image of a build', () => {
    const file = put('arch/x86/boot/bzImage', imageOf('6.9.1 (x)'));
    assert.equal(kernelIn(root).image, file);
  });

  it('refuses a folder without an image, and one with two kernels, whose images it names', () => {
    assert.throws(
      () => kernelIn(root),
      (error) => error instanceof Failure && error.exitCode === 3 && error.why.includes('boot/vmlinuz'),
    );
    const images = ['6.9.1', '6.9.2'].map((release) => put(`boot/vmlinuz-${release}`, imageOf(release)));
    assert.throws(
      () => kernelIn(root),
      (error) =>
        error instanceof Failure &&
        error.exitCode === 2 &&
        images.every((image) => error.why.includes(image)),
    );
  });

  it('takes an image without modules for one with everything built in', () => {
    assert.equal(kernelAt(put('bzImage', imageOf('6.9.1 (x)'))).modules, null);
  });

  it('refuses a file that is no kernel as a usage error', () => {
    const file = put('notes.txt', 'hello');
    assert.throws(
      () => kernelAt(file),
      (error) => error instanceof Failure && error.code === 'LAB_NOT_A_KERNEL' && error.exitCode === 2,
    );
  });

  it('says that a missing image was not found', () => {
    assert.throws(
      () => kernelAt(join(root, 'none')),
      (error) => error instanceof Failure && error.exitCode === 3 && error.errno === 'ENOENT',
    );
  });
});

describe('modules for which depmod has not run', () => {
  const depmod = which('depmod', '');
  const parts = (cache: string) => ({
    cache,
    programs: {depmod: depmod ?? '', modprobe: '', busybox: '', qemu: ''},
    signal: undefined,
    onNote: () => undefined,
  });
  /** A relocatable ELF file with nothing in it, which depmod takes for a module. */
  const EMPTY_MODULE = (() => {
    const elf = Buffer.alloc(64);
    Buffer.from('7f454c46020101', 'hex').copy(elf);
    elf.writeUInt16LE(1, 16);
    elf.writeUInt16LE(62, 18);
    elf.writeUInt32LE(1, 20);
    elf.writeUInt16LE(64, 52);
    elf.writeUInt16LE(64, 58);
    return elf;
  })();
  let root: string;
  let modules: string;
  let cache: string;

  before(function () {
    if (depmod === null) skip(this, 'There is no depmod here; the package kmod has it.');
  });

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'kvfio-test-'));
    modules = join(root, 'tree/usr/lib/modules/6.9.1');
    cache = join(root, 'cache');
    mkdirSync(join(modules, 'kernel'), {recursive: true});
    mkdirSync(cache);
    writeFileSync(join(modules, 'kernel/one.ko'), EMPTY_MODULE);
  });

  afterEach(() => {
    rmSync(root, {recursive: true});
  });

  const index = async (): Promise<string> => {
    const kernel = {release: '6.9.1', image: '', modules, searched: []};
    return (await indexed(kernel, parts(cache))).modules ?? '';
  };

  it('are indexed below the cache and left as they are', async () => {
    const folder = await index();
    assert.match(readFileSync(join(folder, 'modules.dep'), 'utf8'), /^kernel\/one\.ko:/m);
    assert.ok(existsSync(join(folder, 'kernel/one.ko')));
    assert.deepEqual(readdirSync(modules), ['kernel']);
  });

  it('are indexed once, and anew when a module came', async () => {
    const first = await index();
    assert.equal(await index(), first);
    copyFileSync(join(modules, 'kernel/one.ko'), join(modules, 'kernel/two.ko'));
    const second = await index();
    assert.match(readFileSync(join(second, 'modules.dep'), 'utf8'), /^kernel\/two\.ko:/m);
    assert.deepEqual(readdirSync(cache).length, 1);
  });

  it('that depmod does not read are refused, and nothing is left in the cache', async () => {
    rmSync(join(modules, 'kernel/one.ko'));
    await assert.rejects(
      index(),
      (error) => error instanceof Failure && error.code === 'LAB_NO_MODULE_INDEX',
    );
    assert.deepEqual(readdirSync(cache), []);
  });
});
