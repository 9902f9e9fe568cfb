import assert from 'node:assert/strict';
import {existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {gunzipSync, gzipSync} from 'node:zlib';
import type {ErrorDocument} from '../../src/cli/output/report.js';
import Bind from '../../src/commands/bind.js';
import Doctor from '../../src/commands/doctor.js';
import Groups from '../../src/commands/groups.js';
import Snapshot, {type SnapshotDocument} from '../../src/commands/snapshot.js';
import type {DoctorDocument} from '../../src/doctor/doctor.js';
import type {GroupsDocument} from '../../src/groups/groups-document.js';
import {readHost} from '../../src/iommu/host.js';
import type {Capture} from '../../src/host/capture.js';
import {readKernelLog} from '../../src/host/kernel-log.js';
import {openTree} from '../../src/host/open-tree.js';
import {MACHINES} from '../fixtures/machines.js';
import {intel, machine, pci} from '../support/machine.js';
import {needs} from '../support/needs.js';
import {run, start} from '../support/run.js';
import {documentOf} from '../support/schema.js';

const PC = MACHINES['a PC whose graphics has an IOMMU unit of its own'] ?? {};

describe('kvfio snapshot', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'kvfio-snapshot-'))));
  afterEach(() => {
    rmSync(folder, {recursive: true});
  });

  /** What each command that takes a snapshot answers. */
  const everything = async (sysroot: string): Promise<unknown> => {
    const groups = await run(Groups, ['--sysroot', sysroot, '--explain', '--regions', '--json']);
    assert.equal(groups.exit, 0);
    const document = documentOf<GroupsDocument>(groups.stdout, 'groups');
    const doctor = await run(Doctor, ['--sysroot', sysroot, '--json']);
    const binds = [];
    for (const {id} of document.groups)
      binds.push(await run(Bind, ['--group', String(id), '--dry-run', '--sysroot', sysroot, '--json']));
    return [
      {...document, origin: null},
      {...documentOf<DoctorDocument>(doctor.stdout, 'doctor'), origin: null},
      binds.map(({exit, stdout}) => ({exit, stdout})),
    ];
  };
  const capture = async (sysroot: string, file = 'machine.json'): Promise<string> => {
    const path = join(folder, file);
    assert.equal((await run(Snapshot, ['--sysroot', sysroot, path])).exit, 0);
    return path;
  };

  const odd = {
    ...MACHINES,
    'damaged files': {
      units: {dmar0: intel('nonsense')},
      groups: {
        0: [pci('0000:01:00.0', {unit: 'dmar0', config: Buffer.alloc(20)})],
        1: {devices: [{...pci('0000:02:00.0'), uevent: {}}], regions: 'garbage\n'},
      },
    },
    'a reason for having no groups': {
      tables: ['DMAR'],
      config: 'CONFIG_INTEL_IOMMU=y\n',
      ungrouped: [pci('0000:01:00.0')],
    },
    'names beyond ASCII': {groups: {0: [pci('0000:01:00.0', {driver: 'Größe \u001b[1m'})]}},
  };
  for (const [name, spec] of Object.entries(odd)) {
    it(`replays to the same document for a machine with ${name}`, async () => {
      using built = machine(spec);
      const path = await capture(built.root);
      assert.deepEqual(await everything(path), await everything(built.root));
    });
  }

  it('replays a replay', async () => {
    using built = machine(PC);
    const [first, second] = [
      await capture(built.root, 'a.json'),
      await capture(join(folder, 'a.json'), 'b.json'),
    ];
    assert.equal(readFileSync(first, 'utf8'), readFileSync(second, 'utf8'));
  });

  it('packs a file whose name says so, and replays it', async () => {
    using built = machine(PC);
    const [plain, packed] = [await capture(built.root, 'a.json'), await capture(built.root, 'a.json.gz')];
    assert.equal(gunzipSync(readFileSync(packed)).toString(), readFileSync(plain, 'utf8'));
    assert.deepEqual(await everything(packed), await everything(plain));
  });

  it('prints the capture for "-", and nothing else', async () => {
    using built = machine(PC);
    const {stdout} = await run(Snapshot, ['--sysroot', built.root, '-']);
    assert.equal(stdout, readFileSync(await capture(built.root), 'utf8'));
  });

  it('describes what it wrote in a document that keeps to its schema', async () => {
    using built = machine(PC);
    const file = join(folder, 'a.json');
    const {stdout} = await run(Snapshot, ['--sysroot', built.root, file, '--json']);
    const document = documentOf<SnapshotDocument>(stdout, 'snapshot');
    assert.deepEqual(
      [document.file, document.bytes, document.groups, document.devices],
      [file, readFileSync(file).length, 3, 5],
    );
  });

  it('keeps nothing of the kernel command line and its configuration but what is about IOMMU and VFIO', async () => {
    for (const where of ['boot/config-6.12.107-1-amd64', 'proc/config.gz']) {
      using built = machine({
        tables: ['DMAR'],
        commandLine: 'secret1=x intel_iommu=off root=secret2',
        config: '',
      });
      const config = 'CONFIG_CMDLINE="secret3"\nCONFIG_INTEL_IOMMU=y\n';
      writeFileSync(built.path(where), where.endsWith('.gz') ? gzipSync(config) : config);
      const path = await capture(built.root, where.endsWith('.gz') ? 'a.json' : 'b.json');
      const {texts, parts} = JSON.parse(readFileSync(path, 'utf8')) as Capture;
      assert.equal(texts['/proc/cmdline'], 'intel_iommu=off\n');
      assert.doesNotMatch(JSON.stringify(texts), /secret/);
      const packed = parts['/proc/config.gz']?.['0'];
      if (packed !== undefined)
        assert.doesNotMatch(gunzipSync(Buffer.from(packed, 'hex')).toString(), /secret/);
      assert.deepEqual(await everything(path), await everything(built.root));
    }
  });

  it('keeps the stable number of the kernel, and not who built it', async () => {
    using built = machine({release: '6.1.0-3-amd64'});
    const text = 'Linux version 6.1.0-3-amd64 (me@secret) (gcc-12 (Debian) 12.2) #1 SMP Debian 6.1.8-1\n';
    writeFileSync(built.path('proc/version'), text);
    const path = await capture(built.root, 'a.json');
    const {texts} = JSON.parse(readFileSync(path, 'utf8')) as Capture;
    assert.equal(texts['/proc/version'], 'Linux version 6.1.0-3-amd64 #1 SMP Debian 6.1.8-1\n');
    assert.equal(readHost(openTree(path)).kernel.stable, 8);
    assert.deepEqual(await everything(path), await everything(built.root));
  });

  it('keeps of cpuinfo only the flags, for some boards put their serial number there', async () => {
    using built = machine({cpuFlags: 'fpu hypervisor\nSerial\t\t: 10000000abcd1234'});
    const {stdout} = await run(Snapshot, ['-', '--sysroot', built.root]);
    const {parts} = JSON.parse(stdout) as Capture;
    assert.equal(
      Buffer.from(parts['/proc/cpuinfo']?.['0'] ?? '', 'hex').toString(),
      'flags\t\t: fpu hypervisor\n',
    );
  });

  it('keeps of pci.ids only the names that occur', async () => {
    using built = machine({ungrouped: [pci('0000:01:00.0')]});
    const {texts} = JSON.parse(readFileSync(await capture(built.root), 'utf8')) as Capture;
    assert.equal(
      texts['/usr/share/misc/pci.ids'],
      '8086  Intel Corporation\n\t10d3  82574L Gigabit Network Connection\nC 02  Network controller\n\t00  Ethernet controller\n',
    );
  });

  it("keeps of what doctor reads nothing that is the user's own", async () => {
    using built = machine({...PC, release: '6.8.0-1-generic', tables: ['DMAR']});
    const own = {
      'etc/os-release': 'ID=debian\nHOME_URL="https://secret.example"\n',
      'proc/misc': '232 kvm\n60 secret\n',
      'proc/devices': '250 vfio\n251 secret\n',
      'proc/modules': 'secret 1 0 - Live 0x0\nvfio 1 0 - Live 0x0\n',
      'sys/module/secret/initstate': 'live\n',
      'sys/module/vfio/initstate': 'live\n',
      'lib/modules/6.8.0-1-generic/modules.dep': 'updates/secret.ko:\nkernel/vfio/pci/vfio-pci.ko.xz:\n',
      'lib/modules/6.8.0-1-generic/modules.builtin': 'kernel/secret.ko\nkernel/kvm/kvm.ko\n',
      'etc/modprobe.d/secret.conf': 'options secret password=secret\n',
      'etc/modprobe.d/vfio.conf': 'options secret a=b\ninstall kvm_intel /bin/false\nblacklist vfio_pci\n',
      'etc/default/grub': 'GRUB_CMDLINE_LINUX="secret intremap=off"\nGRUB_TIMEOUT=secret\n',
      'etc/default/grub.d/50-kept.cfg': 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX secret"\n',
      'etc/default/grub.d/secret.cfg': 'GRUB_DISABLE_OS_PROBER=secret\n',
      'dev/kmsg':
        '[ 0.1] secret: started\n[ 0.2] kvm: disabled by bios\n[ 0.3] Kernel command line: secret\n[ 0.4] DMAR: Failed to map dmar0\n',
    };
    for (const [path, text] of Object.entries(own)) built.write(path, text);
    const path = await capture(built.root);
    assert.doesNotMatch(readFileSync(path, 'utf8'), /secret|736563726574/);
    assert.deepEqual(readKernelLog(openTree(path)), ['kvm: disabled by bios', 'DMAR: Failed to map dmar0']);
    assert.deepEqual(await everything(path), await everything(built.root));
  });

  for (const [loader, line, cure] of [
    ['GRUB', 'BOOT_IMAGE=/secret root=ZFS=secret quiet', /GRUB_CMDLINE_LINUX/],
    ['systemd-boot', 'initrd=\\\\secret root=secret', /add intel_iommu=on to \/etc\/kernel\/cmdline/],
    ['OSTree', 'BOOT_IMAGE=/secret ostree=/ostree/secret/0', /rpm-ostree kargs/],
  ] as const)
    it(`knows that ${loader} has booted the machine, and not what`, async () => {
      using built = machine({tables: ['DMAR'], config: 'CONFIG_INTEL_IOMMU=y\n', commandLine: line});
      built.write('etc/os-release', 'ID=debian\n');
      built.write('etc/kernel/proxmox-boot-uuids', '');
      built.write('etc/default/grub', '');
      const path = await capture(built.root);
      assert.doesNotMatch(readFileSync(path, 'utf8'), /secret/);
      const {stdout} = await run(Doctor, ['--sysroot', path]);
      assert.match(stdout, cure);
    });

  it('does not replace a file unless it is forced to', async () => {
    using built = machine(PC);
    const path = join(folder, 'a.json');
    writeFileSync(path, 'mine');
    const {exit} = await run(Snapshot, ['--sysroot', built.root, path]);
    assert.deepEqual([exit, readFileSync(path, 'utf8')], [5, 'mine']);
    assert.equal((await run(Snapshot, ['--sysroot', built.root, path, '--force'])).exit, 0);
    assert.deepEqual(await everything(path), await everything(built.root));
  });

  const failures: [what: string, argv: (folder: string) => string[], exit: number][] = [
    ['a folder that does not exist', (at) => [join(at, 'no/file')], 3],
    ['no file', () => [], 2],
    ['two documents on stdout', () => ['-'], 2],
    ['a sysroot that does not exist', (at) => [join(at, 'a'), '--sysroot', join(at, 'nowhere')], 3],
  ];
  for (const [what, argv, exit] of failures) {
    it(`exits with ${exit} for ${what}, and writes nothing`, async () => {
      const outcome = await run(Snapshot, [...argv(folder), '--json']);
      const {error} = documentOf<ErrorDocument>(outcome.stdout, 'error');
      assert.deepEqual([outcome.exit, error.exit], [exit, exit]);
      assert.deepEqual(readdirSync(folder), []);
    });
  }

  it('is taken of this machine, as root and as an ordinary user, and replays to what that user saw', function () {
    needs(this, 'build', 'root');
    const ownFolder = mkdtempSync(join(tmpdir(), 'kvfio-nobody-'));
    try {
      for (const uid of [undefined, 65534]) {
        const as = uid === undefined ? {} : {uid};
        const {exit, stdout} = start(['snapshot', '-'], as);
        assert.equal(exit, 0);
        const file = join(ownFolder, String(uid));
        writeFileSync(file, stdout);
        const document = (...argv: string[]): unknown => {
          const {stdout: text} = start(['groups', '--json', '--explain', '--regions', ...argv], as);
          return {...documentOf<GroupsDocument>(text, 'groups'), origin: null};
        };
        // as root: the folder is closed to others
        const replayed = start(['groups', '--json', '--explain', '--regions', '--sysroot', file]);
        assert.deepEqual(
          {...documentOf<GroupsDocument>(replayed.stdout, 'groups'), origin: null},
          document(),
        );
      }
    } finally {
      rmSync(ownFolder, {recursive: true});
      assert.equal(existsSync(ownFolder), false);
    }
  });
});
