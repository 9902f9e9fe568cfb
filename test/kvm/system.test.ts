import assert from 'node:assert/strict';
import {spawn, spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {Descriptor} from '../../src/linux/descriptor.js';
import {
  KVM_DEV_TYPE_VFIO,
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_DEV_VFIO_FILE_DEL,
} from '../../src/linux/ioctl.js';
import {Kvm} from '../../src/kvm/system.js';
import {O_RDONLY, O_RDWR, close, ioctl, open} from '../../src/linux/libc.js';
import {needs} from '../support/needs.js';
import {rounds} from '../support/pace.js';

const MODULES = new URL('../../src/kvm/', import.meta.url).href;
const PROJECT = fileURLToPath(new URL('../../', import.meta.url));

describe('the kvm-vfio device of this kernel', () => {
  before(function () {
    needs(this, 'kvm');
  });

  it('can be created once per VM, and again after it is closed', () => {
    using kvm = Kvm.open();
    using vm = kvm.createVm();
    {
      using device = vm.createDevice(KVM_DEV_TYPE_VFIO);
      assert.equal(readlinkSync(`/proc/self/fd/${device.fd}`), 'anon_inode:kvm-vfio');
      assert.throws(() => vm.createDevice(KVM_DEV_TYPE_VFIO), {
        message: 'ioctl(KVM_CREATE_DEVICE): EBUSY',
      });
    }
    using again = vm.createDevice(KVM_DEV_TYPE_VFIO);
    assert.equal(again.hasAttr(KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD), true);
  });

  it('is supported, and asking creates nothing', () => {
    using kvm = Kvm.open();
    using vm = kvm.createVm();
    const before = descriptors();
    assert.equal(vm.supportsDevice(KVM_DEV_TYPE_VFIO), true);
    assert.deepEqual(descriptors(), before);
    using device = vm.createDevice(KVM_DEV_TYPE_VFIO);
    assert.equal(vm.supportsDevice(KVM_DEV_TYPE_VFIO), true, 'also while there is one');
    assert.equal(device.hasAttr(KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_DEL), true);
  });

  it('is the only type with its number', () => {
    using kvm = Kvm.open();
    using vm = kvm.createVm();
    assert.equal(vm.supportsDevice(4711), false);
    assert.throws(() => vm.createDevice(4711), {message: 'ioctl(KVM_CREATE_DEVICE): ENODEV'});
  });

  it('has the attributes FILE_ADD and FILE_DEL and no others', () => {
    using kvm = Kvm.open();
    using vm = kvm.createVm();
    using device = vm.createDevice(KVM_DEV_TYPE_VFIO);
    const found = [];
    for (const group of [0, 1, 2, 3]) {
      for (const attr of [0, 1, 2, 3, 4]) if (device.hasAttr(group, attr)) found.push([group, attr]);
    }
    // a third one, SET_SPAPR_TCE, is there on powerpc only
    assert.deepEqual(found, [
      [KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD],
      [KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_DEL],
    ]);
    assert.throws(
      () => {
        device.setAttr(2, 1, Buffer.alloc(4));
      },
      refusal('KVM_SET_DEVICE_ATTR', 'ENXIO'),
    );
  });

  it('tells a file that is not VFIO from a descriptor that is not open', () => {
    using kvm = Kvm.open();
    using vm = kvm.createVm();
    using device = vm.createDevice(KVM_DEV_TYPE_VFIO);
    using file = new Descriptor(open('/dev/null', O_RDWR), '/dev/null');
    assert.throws(
      () => {
        device.addFile(file);
      },
      refusal('KVM_SET_DEVICE_ATTR', 'EINVAL'),
    );

    const fd = Buffer.alloc(4);
    fd.writeInt32LE(closedNumber());
    for (const attr of [KVM_DEV_VFIO_FILE_ADD, KVM_DEV_VFIO_FILE_DEL]) {
      assert.throws(
        () => {
          device.setAttr(KVM_DEV_VFIO_FILE, attr, fd);
        },
        refusal('KVM_SET_DEVICE_ATTR', 'EBADF'),
      );
    }
  });

  it('has no file to delete that was not added', () => {
    using kvm = Kvm.open();
    using vm = kvm.createVm();
    using device = vm.createDevice(KVM_DEV_TYPE_VFIO);
    using file = new Descriptor(open('/dev/null', O_RDONLY), '/dev/null');
    assert.throws(
      () => {
        device.deleteFile(file);
      },
      refusal('KVM_SET_DEVICE_ATTR', 'ENOENT'),
    );
  });

  it('reads the payload where the structure points to', () => {
    using kvm = Kvm.open();
    using vm = kvm.createVm();
    using device = vm.createDevice(KVM_DEV_TYPE_VFIO);
    assert.throws(
      () => {
        device.setAttr(KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD, Buffer.alloc(0)); // addr stays NULL
      },
      refusal('KVM_SET_DEVICE_ATTR', 'EFAULT'),
    );
  });

  it('cannot be read', () => {
    using kvm = Kvm.open();
    using vm = kvm.createVm();
    using device = vm.createDevice(KVM_DEV_TYPE_VFIO);
    const attr = Buffer.alloc(24);
    attr.writeUInt32LE(KVM_DEV_VFIO_FILE, 4);
    assert.throws(
      () => ioctl(device.fd, 'KVM_GET_DEVICE_ATTR', attr),
      refusal('KVM_GET_DEVICE_ATTR', 'EPERM'),
    );
  });

  it('answers EIO in every process but the creator of the VM', () => {
    using kvm = Kvm.open();
    using vm = kvm.createVm();
    using device = vm.createDevice(KVM_DEV_TYPE_VFIO);
    const answer = inheriting(
      device,
      `import {KvmDevice} from '${MODULES}device.ts';
         try {
           new KvmDevice(3).hasAttr(1, 1);
         } catch ({message}) {
           process.stdout.write(message);
         }`,
    );
    assert.equal(answer, 'ioctl(KVM_HAS_DEVICE_ATTR): EIO');
  });

  it('keeps the VM alive', () => {
    using kvm = Kvm.open();
    const vm = kvm.createVm();
    using device = vm.createDevice(KVM_DEV_TYPE_VFIO);
    vm[Symbol.dispose]();
    assert.equal(device.hasAttr(KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD), true);
  });

  it('leaves no descriptor behind in many rounds', function () {
    this.timeout(120_000);
    using file = new Descriptor(open('/dev/null', O_RDONLY), '/dev/null');
    const before = descriptors();
    for (let round = 0; round < rounds(1000); round += 1) {
      using kvm = Kvm.open();
      using vm = kvm.createVm();
      using device = vm.createDevice(KVM_DEV_TYPE_VFIO);
      assert.throws(() => vm.createDevice(KVM_DEV_TYPE_VFIO));
      assert.throws(() => {
        device.addFile(file);
      });
    }
    assert.deepEqual(descriptors(), before);
  });

  it('is there although signals keep coming while the VM is created', async function () {
    this.timeout(120_000);
    const heard = (): void => undefined;
    process.on('SIGUSR2', heard);
    // so many that the first calls are interrupted, and an end, since each of them may be
    const storm = `echo; for i in $(seq 20000); do kill -USR2 ${process.pid}; done`;
    const sender = spawn('sh', ['-c', storm]);
    try {
      await once(sender.stdout, 'data');
      using kvm = Kvm.open();
      for (let round = 0; round < 50; round += 1) {
        using vm = kvm.createVm();
        assert.equal(vm.supportsDevice(KVM_DEV_TYPE_VFIO), true);
      }
    } finally {
      sender.kill('SIGKILL');
      await once(sender, 'close');
      process.off('SIGUSR2', heard);
    }
  });
});

describe('Kvm', () => {
  it('does not take another file for /dev/kvm, and closes it', () => {
    const before = descriptors();
    assert.throws(() => Kvm.open('/dev/null'), {message: 'ioctl(KVM_GET_API_VERSION) /dev/null: ENOTTY'});
    assert.deepEqual(descriptors(), before);
  });
});

const refusal = (request: string, code: string): object => ({
  name: 'SyscallError',
  syscall: `ioctl(${request})`,
  code,
});

/** Numbers of the open descriptors; the listing's own is among them each time. */
const descriptors = (): string[] => readdirSync('/proc/self/fd').sort();

function closedNumber(): number {
  const fd = open('/dev/null', O_RDONLY);
  close(fd);
  return fd;
}

/** What a program in another process prints that has `device` as descriptor 3. */
function inheriting(device: Descriptor, source: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'kvfio-kvm-'));
  try {
    const file = join(directory, 'program.mjs');
    writeFileSync(file, source);
    const {stdout, stderr} = spawnSync(process.execPath, ['--import', 'tsx', file], {
      cwd: PROJECT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe', device.fd],
    });
    return stdout || stderr;
  } finally {
    rmSync(directory, {recursive: true});
  }
}
