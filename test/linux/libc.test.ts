import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {SyscallError} from '../../src/linux/errno.js';
import {O_RDONLY, addressOf, close, ioctl, open, retryInterrupted} from '../../src/linux/libc.js';

const LIBC = new URL('../../src/linux/libc.ts', import.meta.url).href;
const PROJECT = fileURLToPath(new URL('../../', import.meta.url));

describe('libc', () => {
  it('opens with close-on-exec and closes', () => {
    const fd = open('/dev/null', O_RDONLY);
    const flags = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
    assert.equal(parseInt(flags ?? '', 8) & 0o2000000, 0o2000000);
    close(fd);
    assert.equal(existsSync(`/proc/self/fd/${fd}`), false);
  });

  it('tells which call the kernel refused, on which file, and why', () => {
    assert.throws(() => open('/nonexistent', O_RDONLY), {
      name: 'SyscallError',
      syscall: 'open',
      path: '/nonexistent',
      errno: 2,
      code: 'ENOENT',
    });
    const fd = open('/dev/null', O_RDONLY);
    assert.throws(() => ioctl(fd, 'KVM_GET_API_VERSION', 0, '/dev/null'), {
      message: 'ioctl(KVM_GET_API_VERSION) /dev/null: ENOTTY',
      errno: 25,
    });
    close(fd);
    assert.throws(
      () => {
        close(fd);
      },
      {message: 'close: EBADF'},
    );
    assert.throws(() => ioctl(fd, 'KVM_HAS_DEVICE_ATTR', Buffer.alloc(24)), {code: 'EBADF'});
  });

  it('lets no value through that libc would take for another one', () => {
    assert.throws(() => open('/dev/null\0/etc/passwd', O_RDONLY), RangeError);
    for (const fd of [NaN, 1.5, 2 ** 32]) {
      assert.throws(() => ioctl(fd, 'KVM_CREATE_VM', 0), RangeError);
      assert.throws(() => {
        close(fd);
      }, RangeError);
    }
    assert.throws(() => ioctl(0, 'KVM_CREATE_VM', 0.5), RangeError);
  });

  it('gives the address at which the bytes of a Buffer are', () => {
    const buffer = Buffer.from(new ArrayBuffer(16));
    buffer.write('snoop control');
    const seen = Buffer.alloc(16);
    const memory = openSync('/proc/self/mem', 'r');
    readSync(memory, seen, 0, 16, addressOf(buffer));
    closeSync(memory);
    assert.deepEqual(seen, buffer);
  });

  it('makes an interrupted call again, and no other', () => {
    let calls = 0;
    assert.equal(
      retryInterrupted(() => {
        calls += 1;
        if (calls < 3) throw new SyscallError('ioctl', 4);
        return calls;
      }),
      3,
    );
    assert.throws(
      () =>
        retryInterrupted(() => {
          calls += 1;
          throw new SyscallError('ioctl', 11);
        }),
      {code: 'EAGAIN'},
    );
    assert.equal(calls, 4);
  });

  it('loads ffi-rs at the first call and not before', () => {
    const {stdout, stderr} = inProcess(`
      import {createRequire} from 'node:module';
      const loaded = () => Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes('ffi-rs'));
      const {open} = await import(${JSON.stringify(LIBC)});
      const before = loaded();
      open('/dev/null', 0);
      process.stdout.write(JSON.stringify([before, loaded()]));`);
    assert.equal(stdout, '[false,true]', stderr);
  });

  it('says in one failure that the native part of ffi-rs is missing', () => {
    const {stdout, stderr} = inProcess(`
      import Module from 'node:module';
      const resolve = Module._resolveFilename;
      Module._resolveFilename = (request, ...rest) => resolve(request.replace(/^@yuuang/, '@missing'), ...rest);
      const {open} = await import(${JSON.stringify(LIBC)});
      try {
        open('/dev/null', 0);
      } catch ({name, kind, code, why}) {
        process.stdout.write(JSON.stringify({name, kind, code, why}));
      }`);
    const failure = JSON.parse(stdout || '{}') as Record<string, string>;
    assert.equal(failure['name'], 'Failure', stderr);
    assert.equal(failure['kind'], 'cannotDecide');
    assert.match(
      failure['why'] ?? '',
      /^The native part of ffi-rs for linux \w+ could not be loaded \(.*@missing.*\)\.$/,
    );
  });
});

/** Runs an ES module in a process of its own. */
function inProcess(source: string): {stdout: string; stderr: string} {
  const directory = mkdtempSync(join(tmpdir(), 'kvfio-libc-'));
  try {
    const file = join(directory, 'program.mjs');
    writeFileSync(file, source);
    return spawnSync(process.execPath, ['--import', 'tsx', file], {cwd: PROJECT, encoding: 'utf8'});
  } finally {
    rmSync(directory, {recursive: true});
  }
}
