import assert from 'node:assert/strict';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {Failure} from '../../src/failure.js';
import {kernelImageVersion} from '../../src/lab/kernel-image.js';
import {hostKernel, kernelAt} from '../../src/lab/kernel.js';

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
    assert.deepEqual(kernelAt(image), {
      release: '6.9.1-test',
      image,
      modules: join(root, 'lib/modules/6.9.1-test'),
    });
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
