import assert from 'node:assert/strict';
import {loadOrder, unreadableCompressions} from '../../src/lab/modules.js';

const DEP = `kernel/net/9p/9pnet.ko.xz:
kernel/fs/netfs/netfs.ko.xz: kernel/fs/fscache/fscache.ko.xz
kernel/fs/fscache/fscache.ko.xz:
kernel/net/9p/9pnet_virtio.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz kernel/drivers/virtio/virtio.ko.xz kernel/net/9p/9pnet.ko.xz
kernel/drivers/virtio/virtio.ko.xz:
kernel/drivers/virtio/virtio_ring.ko.xz: kernel/drivers/virtio/virtio.ko.xz
kernel/drivers/vfio/pci/vfio-pci.ko.xz:
`;

describe('loadOrder', () => {
  it('puts what a module depends on before it, furthest first', () => {
    assert.deepEqual(loadOrder(DEP, ['9pnet_virtio']), [
      'kernel/net/9p/9pnet.ko.xz',
      'kernel/drivers/virtio/virtio.ko.xz',
      'kernel/drivers/virtio/virtio_ring.ko.xz',
      'kernel/net/9p/9pnet_virtio.ko.xz',
    ]);
  });

  it('names each module once', () => {
    assert.deepEqual(loadOrder(DEP, ['netfs', 'fscache', 'netfs']), [
      'kernel/fs/fscache/fscache.ko.xz',
      'kernel/fs/netfs/netfs.ko.xz',
    ]);
  });

  it('takes hyphens and underscores for the same', () => {
    assert.deepEqual(loadOrder(DEP, ['vfio_pci']), loadOrder(DEP, ['vfio-pci']));
  });

  it('leaves out what is built in or unknown', () => {
    assert.deepEqual(loadOrder(DEP, ['virtio_pci']), []);
  });
});

describe('unreadableCompressions', () => {
  const VERSION = 'kmod version 30\n+ZSTD +XZ -ZLIB +LIBCRYPTO -EXPERIMENTAL\n';

  it('names the compressions of modules that kmod was built without', () => {
    assert.deepEqual(unreadableCompressions('kernel/one.ko.gz:\nkernel/two.ko.xz:\n', VERSION), ['.gz']);
  });

  it('has nothing against modules that kmod reads, or that are not compressed', () => {
    assert.deepEqual(unreadableCompressions(`${DEP}kernel/one.ko:\n`, VERSION), []);
  });
});
