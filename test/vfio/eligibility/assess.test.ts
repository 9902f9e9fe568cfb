import assert from 'node:assert/strict';
import type {ListedGroup} from '../../../src/groups/groups-document.js';
import {ELIGIBILITY_CHECKS} from '../../../src/vfio/eligibility/assess.js';
import {applies, type KernelCheck} from '../../../src/vfio/eligibility/check.js';
import {
  amd,
  folderOf,
  intel,
  other,
  pci,
  plain,
  port,
  REMAPPED,
  type DeviceSpec,
  type MachineSpec,
} from '../../support/machine.js';
import {readDocument} from '../../support/read.js';

const UNITS = {dmar0: intel('f050da'), ivhd0: amd()};

const device = (address: string, options: Parameters<typeof pci>[1] = {}): DeviceSpec =>
  pci(address, {unit: 'dmar0', ...options});
const bound = (address: string, options: Parameters<typeof pci>[1] = {}): DeviceSpec =>
  device(address, {driver: 'vfio-pci', vfio: ['vfio0'], ...options});

interface Written {
  files?: Record<string, string>;
  spec?: MachineSpec;
  regions?: string;
  /** Of the group. */
  name?: string;
}

/** The only group of a machine, as the document has it. */
const group = (
  devices: readonly DeviceSpec[],
  {files = {}, spec = {}, ...odd}: Written = {},
): ListedGroup => {
  const members = {devices, ...odd};
  const [only] = readDocument({units: UNITS, groups: {7: members}, ...spec}, files).groups;
  assert.ok(only);
  return only;
};

/** `no drivers EPERM, bound ENOENT; after bind yes`. */
const judged = ({assignable: {verdict, afterBind, obstacles}}: ListedGroup): string =>
  `${verdict}${obstacles.map(({check, errno, certain}) => ` ${check} ${errno ?? '-'}${certain ? '' : '?'}`).join('')}; after bind ${afterBind}`;

const ones = Buffer.alloc(256, 0xff);
const nic = '0000:01:00.0';

describe('whether a VM can have a group', () => {
  it('is yes with a member that VFIO has, beside bridges and unbound members', () => {
    const root = port('0000:00:1c.0', {unit: 'dmar0'});
    const members = [
      root,
      bound(nic, {parent: folderOf(root)}),
      device('0000:01:00.1', {parent: folderOf(root)}),
    ];
    const judgedGroup = group(members);
    assert.equal(judged(judgedGroup), 'yes; after bind yes');
    assert.deepEqual(
      judgedGroup.devices.map(({assignable: {verdict, afterBind, checks}}) => [
        verdict,
        afterBind,
        checks.join(' '),
      ]),
      [
        ['no', 'no', 'header-type bound'],
        ['yes', 'yes', ''],
        ['no', 'yes', 'bound'],
      ],
    );
  });

  it('is a matter of binding where drivers of the host have it, or none', () => {
    assert.equal(judged(group([device(nic)])), 'no bound ENOENT; after bind yes');
    assert.equal(
      judged(group([device(nic, {driver: 'e1000e'}), device('0000:01:00.1', {driver: 'igb'})])),
      'no bound ENOENT drivers EPERM; after bind yes',
    );
    assert.match(
      group([device(nic, {driver: 'igb'})]).assignable.obstacles[1]?.found ?? '',
      /^0000:01:00\.0 is bound to igb$/,
    );
  });

  it('is a matter of unbinding by hand where a driver has what kvfio does not bind', () => {
    const bridge = port('0000:00:1c.0', {unit: 'dmar0', driver: 'shpchp'});
    const cures = (...devices: DeviceSpec[]): (string | null)[] =>
      group(devices).assignable.obstacles.map(({cure}) => cure);
    assert.deepEqual(cures(bridge, bound(nic, {parent: folderOf(bridge)})), [
      'take shpchp from 0000:00:1c.0 ("echo 0000:00:1c.0 > /sys/bus/pci/drivers/shpchp/unbind"): the bridge works on without it',
    ]);
    const [cure] = cures(other('platform', 'PNP0000:00', {unit: 'dmar0', driver: 'acpi'}), bound(nic));
    assert.match(cure ?? '', /"echo PNP0000:00 > \/sys\/bus\/platform\/drivers\/acpi\/unbind"/);
    assert.equal(
      judged(group([{...bridge, driver: null}, bound(nic, {parent: folderOf(bridge)})])),
      'yes; after bind yes',
    );
  });

  it('is a matter of binding later where something else keeps vfio-pci from a member, and can be cured', () => {
    const qat = device(nic, {device: '0435', driver: 'dh895xcc'});
    const {obstacles} = group([qat], {
      files: {'sys/module/vfio_pci/parameters/disable_denylist': 'N\n'},
    }).assignable;
    assert.deepEqual(
      obstacles.map(({check, cure}) => [check, cure?.split(' ').slice(0, 4).join(' ')]),
      [
        ['denylist', 'load it with disable_denylist=1'],
        ['bound', 'cure the rest first,'],
        ['drivers', 'cure the rest first,'],
      ],
    );
  });

  it('is told of several members as of several', () => {
    const pf = device('0000:01:00.0', {driver: 'mlx5_core'});
    const members = ['2', '3'].map((each) =>
      bound(`0000:01:00.${each}`, {physfn: folderOf(pf), vfio: [`vfio${each}`]}),
    );
    const [first] = group([pf, ...members]).assignable.obstacles;
    assert.match(
      first?.found ?? '',
      /^0000:01:00\.2 and 0000:01:00\.3 are virtual functions of 0000:01:00\.0, which has to keep its driver \(mlx5_core\) for them to exist, and all are in one group/,
    );
  });

  it('is refused by another call before 5.19 where a driver is in the way', () => {
    const {assignable} = group([bound(nic), device('0000:01:00.1', {driver: 'igb'})], {
      spec: {release: '5.10.0-30-amd64'},
    });
    assert.deepEqual(
      assignable.obstacles.map(({call, errno}) => [call, errno]),
      [['VFIO_GROUP_GET_DEVICE_FD', 'EINVAL']],
    );
  });

  it('names for a function that shares the group of its parent the call and the source of that kernel', () => {
    const pf = device('0000:01:00.0', {driver: 'mlx5_core'});
    const vf = bound('0000:01:00.2', {physfn: folderOf(pf)});
    const vmd = device('0000:00:0e.0', {classCode: '010400', driver: 'vmd'});
    const disk = bound('10000:e1:00.0', {parent: `${folderOf(vmd)}/pci10000:e0`, classCode: '010802'});
    for (const [check, members] of [
      ['physical-function', [pf, vf]],
      ['driver-domain', [vmd, disk]],
    ] as const) {
      const of = (release: string): unknown[] =>
        group(members, {spec: {release}})
          .assignable.obstacles.filter((obstacle) => obstacle.check === check)
          .map(({call, errno, source}) => [call, errno, source]);
      assert.deepEqual(of('5.10.0-30-amd64'), [
        ['VFIO_GROUP_GET_DEVICE_FD', 'EINVAL', 'drivers/vfio/vfio.c, vfio_dev_viable()'],
      ]);
      assert.deepEqual(of('5.19.0'), [
        ['VFIO_GROUP_SET_CONTAINER', 'EPERM', 'drivers/iommu/iommu.c, iommu_group_claim_dma_owner()'],
      ]);
    }
  });

  it('has each check in one row of its kind for a kernel, and names no file that Linux 5.10 lacks', () => {
    const LATER = /vfio_pci_core|vfio_main|vfio\/group\.c|vfio\/container\.c|claim_dma_owner/;
    const at = (major: number, minor: number): KernelCheck[] =>
      ELIGIBILITY_CHECKS.filter((check) => applies(check, {version: {major, minor}}));
    assert.deepEqual(
      at(5, 10).filter(({source}) => LATER.test(source)),
      [],
    );
    const ids = (checks: readonly KernelCheck[]): string[] => [...new Set(checks.map(({id}) => id))].sort();
    assert.deepEqual(ids(at(7, 3)), ids(ELIGIBILITY_CHECKS));
    for (const [major, minor] of [
      [5, 10],
      [5, 14],
      [5, 15],
      [5, 16],
      [5, 18],
      [5, 19],
      [6, 5],
      [6, 6],
    ] as const) {
      // the devices of the denylist are apart
      const rows = at(major, minor).filter(({id}) => id !== 'denylist');
      assert.equal(rows.length, ids(rows).length);
      assert.deepEqual(
        ids(ELIGIBILITY_CHECKS).filter((id) => id !== 'denylist' && !rows.some((row) => row.id === id)),
        major === 5 && minor < 19 ? ['cache-coherency', 'runtime-pm'] : [],
      );
    }
  });

  describe('with a reserved region that is "direct"', () => {
    const regions =
      '0x00000000bddde000 0x00000000bdddefff direct\n0x00000000fee00000 0x00000000feefffff msi\n';
    const of = (release: string, unit = 'dmar0', text = regions): string =>
      judged(group([bound(nic, {unit})], {regions: text, spec: {release}}));

    it('is no: by SET_CONTAINER since 6.6, and by SET_CONTAINER or SET_IOMMU of Intel before', () => {
      const callOf = (release: string): string =>
        group([bound(nic)], {regions, spec: {release}})
          .assignable.obstacles.map(({call}) => call)
          .join();
      assert.equal(callOf('5.10.0-46-amd64'), 'VFIO_SET_IOMMU');
      assert.equal(callOf('6.1.0-56-amd64'), 'VFIO_GROUP_SET_CONTAINER');
      assert.equal(callOf('6.2.0'), 'VFIO_SET_IOMMU');
      assert.equal(callOf('6.6.0'), 'VFIO_GROUP_SET_CONTAINER');
      assert.equal(of('6.8.0-49-generic'), 'no direct-region EINVAL; after bind no');
      assert.equal(of('6.1.0-40-amd64'), 'no direct-region EPERM; after bind no');
      const {assignable} = group([bound(nic)], {regions, spec: {release: '6.5.0'}});
      assert.deepEqual(
        assignable.obstacles.map(({call}) => call),
        ['VFIO_SET_IOMMU'],
      );
      assert.match(assignable.obstacles[0]?.found ?? '', /0x00000000bddde000-0x00000000bdddefff/);
    });

    it('is yes on AMD before 6.6, whose driver did not look, and no since', () => {
      assert.equal(of('6.5.0', 'ivhd0'), 'yes; after bind yes');
      assert.equal(of('6.6.0', 'ivhd0'), 'no direct-region EINVAL; after bind no');
    });

    it('is yes where the region may be relaxed, or is of another kind', () => {
      assert.equal(
        of('6.8.0', 'dmar0', regions.replace('direct', 'direct-relaxable')),
        'yes; after bind yes',
      );
      assert.equal(of('6.8.0', 'dmar0', regions.replace('direct', 'reserved')), 'yes; after bind yes');
    });

    it('is no after binding, too, and says both', () => {
      assert.equal(
        judged(group([device(nic, {driver: 'igb'})], {regions})),
        'no bound ENOENT drivers EPERM direct-region EINVAL; after bind no',
      );
    });
  });

  describe("of a vendor's kernel, whose version says how old its code is at most", () => {
    const EL9 = '5.14.0-427.13.1.el9_4.x86_64';
    const DIRECT = '0x00000000bddde000 0x00000000bdddefff direct\n';
    const BTF = 'sys/kernel/btf/vmlinux';
    const marks = (...names: string[]): Written['files'] => ({
      [BTF]: ['', 'iommu_group_alloc', ...names, ''].join('\0'),
    });
    const answers = (files: Written['files'] = {}, release = EL9): string[] =>
      group([bound(nic)], {files, regions: DIRECT, spec: {release}}).assignable.obstacles.map(
        ({call, errno, certain, exact}) =>
          `${call} ${errno ?? ''}${certain ? '' : ', not certain'}${exact ? '' : ', not exact'}`,
      );

    it('is exact where the names in the kernel tell', () => {
      assert.deepEqual(answers(marks()), ['VFIO_SET_IOMMU EPERM']);
      assert.deepEqual(answers(marks('iommu_group_claim_dma_owner')), ['VFIO_GROUP_SET_CONTAINER EPERM']);
      assert.deepEqual(answers(marks('iommu_group_claim_dma_owner', 'require_direct')), [
        'VFIO_GROUP_SET_CONTAINER EINVAL',
      ]);
    });

    it('is certain of what all versions refuse, and not exact of how', () => {
      assert.deepEqual(answers(), ['VFIO_GROUP_SET_CONTAINER EPERM, not exact']);
      assert.deepEqual(answers({}, '5.14.21-150500.55.39-default'), ['VFIO_SET_IOMMU EPERM, not exact']);
      const held = group([bound(nic), device('0000:01:00.1', {driver: 'igb'})], {
        spec: {release: '5.14.0-70.el9_0.x86_64'},
      });
      assert.equal(judged(held), 'no drivers EINVAL; after bind yes');
    });

    it('is not certain of what some versions refuse', () => {
      const of = (release: string): string =>
        judged(group([bound(nic, {unit: 'ivhd0'})], {regions: DIRECT, spec: {release}}));
      assert.equal(of('6.5.0'), 'yes; after bind yes');
      assert.equal(of(EL9), 'unknown direct-region EINVAL?; after bind unknown');
      assert.equal(of('6.8.0'), 'no direct-region EINVAL; after bind no');
    });

    it('is as exact as of any kernel where versions do not differ', () => {
      assert.equal(judged(group([bound(nic)], {spec: {release: EL9}})), 'yes; after bind yes');
      const [obstacle] = group([device(nic)], {spec: {release: EL9}}).assignable.obstacles;
      assert.deepEqual([obstacle?.check, obstacle?.certain, obstacle?.exact], ['bound', true, true]);
    });
  });

  describe('by the isolation of interrupts', () => {
    const with_ = (interrupts: string | null, commandLine = 'quiet', files = {}): string =>
      judged(group([bound(nic)], {files, spec: {interrupts, commandLine}}));
    const OPEN = REMAPPED.replaceAll('IR-', '');

    it('is no where none is remapped, and unknown where that does not show', () => {
      assert.equal(with_(OPEN), 'no interrupts EPERM; after bind no');
      assert.equal(with_(null), 'unknown interrupts EPERM?; after bind unknown');
      assert.equal(
        with_('           CPU0\n 5: 0 XT-PIC 5 x\n'),
        'unknown interrupts EPERM?; after bind unknown',
      );
    });

    it('names the parameter that switches it off', () => {
      const cureOf = (commandLine: string): string | null | undefined =>
        group([bound(nic)], {spec: {interrupts: OPEN, commandLine}}).assignable.obstacles[0]?.cure;
      for (const word of ['intremap=off', 'nointremap', 'intremap=nosid,off'])
        assert.ok(cureOf(`quiet ${word}`)?.startsWith(`remove ${word} from`), word);
      for (const words of ['intremap=nosid', 'intremap=off intremap=on', 'nointremap intremap=off,on'])
        assert.match(cureOf(words) ?? '', /^enable interrupt remapping in the firmware/, words);
      assert.match(cureOf('intremap=on intremap=off') ?? '', /^remove intremap=off from/);
      assert.equal(with_(null, 'intremap=off'), 'no interrupts EPERM; after bind no');
    });

    it('is yes where the command line tells a module to do without that is not loaded yet, as modprobe does', () => {
      for (const [words, verdict] of [
        ['vfio_iommu_type1.allow_unsafe_interrupts=1', 'yes'],
        ['vfio-iommu-type1.allow_unsafe_interrupts', 'yes'],
        ['iommufd.allow_unsafe_interrupts=Y', 'yes'],
        ['vfio_iommu_type1.allow_unsafe_interrupts=1 vfio_iommu_type1.allow_unsafe_interrupts=0', 'no'],
        ['vfio_iommu_type1.allow_unsafe_interrupts=off', 'no'],
      ] as const)
        assert.equal(with_(OPEN, words).split(/[ ;]/, 1)[0], verdict, words);
      const loaded = {'sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts': 'N\n'};
      assert.match(with_(OPEN, 'vfio_iommu_type1.allow_unsafe_interrupts=1', loaded), /^no /);
    });

    it('is yes where VFIO was told to do without', () => {
      const unsafe = (module: string, value: string): Record<string, string> => ({
        [`sys/module/${module}/parameters/allow_unsafe_interrupts`]: `${value}\n`,
      });
      assert.equal(with_(OPEN, '', unsafe('vfio_iommu_type1', 'Y')), 'yes; after bind yes');
      assert.equal(with_(OPEN, '', unsafe('vfio_iommu_type1', 'N')), 'no interrupts EPERM; after bind no');
      assert.equal(with_(OPEN, '', unsafe('iommufd', 'Y')), 'yes; after bind yes');
      assert.equal(
        with_(OPEN, '', {...unsafe('iommufd', 'Y'), ...unsafe('vfio_iommu_type1', 'N')}),
        'no interrupts EPERM; after bind no',
      );
    });

    it('knows the chips of Arm, and finds the first in a file of any size', () => {
      assert.equal(with_(' 5: 0 ITS-MSI 0 Edge x\n'), 'yes; after bind yes');
      assert.equal(with_(' 5: 0 ITS-PCI-MSIX-0000:01:00.0 0 Edge x\n'), 'yes; after bind yes');
      assert.equal(
        with_(' 5: 0 GICv2m-PCI-MSIX-0000:01:00.0 0 Edge x\n'),
        'no interrupts EPERM; after bind no',
      );
      assert.equal(
        with_(`${' 3: 0 unknown x\n'.repeat(20_000)} 9: 0 IR-PCI-MSI 0-edge x\n`),
        'yes; after bind yes',
      );
    });

    it('is nothing that mediated devices depend on', () => {
      const mdev = other('mdev', '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001', {driver: 'vfio_mdev'});
      assert.equal(judged(group([mdev], {spec: {interrupts: OPEN}})), 'yes; after bind yes');
    });
  });

  describe('of devices that vfio-pci does not take', () => {
    const denylist = (value: string): Written => ({
      files: {'sys/module/vfio_pci/parameters/disable_denylist': `${value}\n`},
    });
    const qat = device(nic, {vendor: '8086', device: '37c9', driver: 'c6xxvf', classCode: '0b4000'});

    it('is no for one on its denylist, unless the list is off or not known to be on', () => {
      assert.equal(
        judged(group([qat], denylist('N'))),
        'no denylist EINVAL bound ENOENT drivers EPERM; after bind no',
      );
      assert.equal(judged(group([qat], denylist('Y'))), 'no bound ENOENT drivers EPERM; after bind yes');
      assert.equal(
        judged(group([qat])),
        'no denylist EINVAL? bound ENOENT drivers EPERM; after bind unknown',
      );
    });

    it('says how vfio-pci is loaded anew, as far as that can be done', () => {
      const module = 'sys/module/vfio_pci';
      const cureOf = (files: Record<string, string>, others: readonly DeviceSpec[] = []): string => {
        const {groups} = readDocument({units: UNITS, groups: {7: [qat], 8: others}}, files);
        return groups[0]?.assignable.obstacles.find(({check}) => check === 'denylist')?.cure ?? '';
      };
      const loaded = {...denylist('N').files, [`${module}/initstate`]: 'live\n', [`${module}/refcnt`]: '0\n'};
      const anew = '"modprobe -r vfio-pci && modprobe vfio-pci disable_denylist=1"';
      const risk = ', at the risk';
      assert.ok(
        cureOf({}).startsWith('load it with disable_denylist=1 ("modprobe vfio-pci disable_denylist=1")'),
      );
      assert.ok(cureOf(loaded).startsWith(`load it with disable_denylist=1 (${anew})${risk}`));
      const other = bound('0000:09:00.0');
      const has = {'sys/bus/pci/drivers/vfio-pci/0000:09:00.0/uevent': ''};
      assert.match(
        cureOf({...loaded, ...has}, [other]),
        /after "kvfio unbind" has taken from it what it has, 0000:09:00\.0\)/,
      );
      assert.match(
        cureOf({...loaded, ...has, [`${module}/refcnt`]: '2\n'}, [other]),
        /when no VM has a device of it any more, 0000:09:00\.0 now\)/,
      );
      const builtIn = cureOf({...denylist('N').files, ...has}, [other]);
      assert.match(builtIn, /boot with vfio-pci\.disable_denylist=1 on the kernel command line/);
      assert.doesNotMatch(builtIn, /modprobe/);
    });

    it('is no for QAT since 5.9, the first kernel with a denylist', () => {
      const of = (release: string): string => judged(group([qat], {...denylist('N'), spec: {release}}));
      assert.equal(of('5.8.18'), 'no bound ENOENT drivers EINVAL; after bind yes');
      assert.match(of('5.9.0'), /^no denylist EINVAL bound/);
    });

    for (const id of ['0b25', '0cfe'])
      it(`is no for 8086:${id} since 6.10, and not known before, where stable kernels have it on the list too`, () => {
        const accelerator = device(nic, {vendor: '8086', device: id, driver: 'idxd', classCode: '088000'});
        const of = (release: string, value = 'N'): string =>
          judged(group([accelerator], {...denylist(value), spec: {release}}));
        assert.equal(of('6.10.0'), 'no denylist EINVAL bound ENOENT drivers EPERM; after bind no');
        assert.equal(of('6.9.1'), 'no denylist EINVAL? bound ENOENT drivers EPERM; after bind unknown');
        assert.equal(of('6.9.1', 'Y'), 'no bound ENOENT drivers EPERM; after bind yes');
        assert.equal(of('5.8.18'), 'no bound ENOENT drivers EINVAL; after bind yes');
      });

    it('is yes for one on the denylist that VFIO has all the same', () => {
      assert.equal(judged(group([bound(nic, {device: '37c9'})], denylist('N'))), 'yes; after bind yes');
    });

    for (const [name, unit] of [
      ['apple-dart.681008000.iommu', plain()],
      ['fd8c4000.iommu', plain('rk_iommu')],
      ['riscv-iommu@0000:00:01.0', plain()],
      ['fdd90000.iommu', plain('vsi-iommu')],
    ] as const)
      it(`is no behind ${name}, which claims no cache coherency, since 5.19`, () => {
        const of = (release: string): string =>
          judged(group([device(nic, {unit: name})], {spec: {units: {[name]: unit}, release}}));
        assert.equal(of('6.13.0'), 'no cache-coherency EINVAL bound ENOENT; after bind no');
        assert.equal(of('5.18.0'), 'no bound ENOENT; after bind yes');
        assert.equal(of('7.4.0'), 'no cache-coherency EINVAL? bound ENOENT; after bind unknown');
      });

    it('is unknown behind an SMMU until VFIO has taken a device', () => {
      const units = {'smmu3.0x0000000050000000': plain('arm-smmu-v3')};
      const of = (driver: string | null): string =>
        judged(
          group([pci(nic, {unit: 'smmu3.0x0000000050000000', driver})], {
            spec: {units, interrupts: ' 5: 0 ITS-MSI 0 x\n'},
          }),
        );
      assert.equal(of(null), 'no cache-coherency EINVAL? bound ENOENT; after bind unknown');
      assert.equal(of('vfio-pci'), 'yes; after bind yes');
    });

    it('is no for bridges alone', () => {
      assert.equal(
        judged(group([port('0000:00:1c.0', {unit: 'dmar0'})])),
        'no header-type EINVAL bound ENOENT; after bind no',
      );
    });
  });

  describe('of functions that exist by the driver of another', () => {
    const pf = (driver: string | null, count = '1'): DeviceSpec => {
      const spec = device('0000:01:00.0', {driver, vendor: '15b3', device: '1015'});
      return {...spec, files: {...spec.files, sriov_numvfs: `${count}\n`}};
    };
    const vf = (driver: string | null): DeviceSpec =>
      device('0000:01:00.2', {
        driver,
        vendor: '15b3',
        device: '1016',
        physfn: folderOf(pf(null)),
        config: ones,
      });

    it('is no for a virtual function that shares the group of its physical one, and binding does not help', () => {
      const shared = group([pf('mlx5_core'), vf('vfio-pci')]);
      assert.equal(judged(shared), 'no physical-function EPERM drivers EPERM; after bind no');
      assert.match(
        shared.assignable.obstacles[0]?.found ?? '',
        /0000:01:00\.2 is a virtual function of 0000:01:00\.0, which has to keep/,
      );
      assert.equal(shared.assignable.obstacles[1]?.cure, null);
      assert.equal(
        judged(group([pf('mlx5_core'), vf('mlx5_core')])),
        'no virtual-functions EBUSY physical-function EPERM bound ENOENT drivers EPERM; after bind no',
      );
    });

    it('is a matter of the token where VFIO has the physical function, and yes where that is in another group', () => {
      assert.equal(judged(group([pf('vfio-pci'), vf('vfio-pci')])), 'yes; after bind yes');
      assert.equal(judged(group([vf('vfio-pci')])), 'yes; after bind yes');
    });

    it('is no for a physical function until its virtual ones are gone', () => {
      assert.equal(
        judged(group([pf('mlx5_core')])),
        'no virtual-functions EBUSY bound ENOENT drivers EPERM; after bind no',
      );
      assert.equal(judged(group([pf('mlx5_core', '0')])), 'no bound ENOENT drivers EPERM; after bind yes');
    });

    it('is unknown for functions that VFIO has on both sides of SR-IOV, whose user sets a VF token', () => {
      const physical = folderOf(pf(null));
      const of = (more: Record<string, string>, members: readonly DeviceSpec[]): string =>
        judged(group(members, {files: more}));
      const isVfios = {[`sys/devices/${physical}/vfio-dev/vfio1/uevent`]: ''};
      assert.equal(of(isVfios, [vf('vfio-pci')]), 'unknown vf-token EACCES?; after bind unknown');
      assert.equal(of({}, [vf('vfio-pci')]), 'yes; after bind yes');
      // that is asked for it only while one of its functions is in use
      assert.equal(of({}, [pf('vfio-pci')]), 'yes; after bind yes');
    });

    it('is a matter of binding for whatever has members below itself, unless it is a bridge', () => {
      const container = other('fsl-mc', 'dprc.2', {unit: 'dmar0', driver: 'fsl_mc_dprc'});
      const object = other('fsl-mc', 'dpni.1', {
        unit: 'dmar0',
        driver: 'fsl_dpaa2_eth',
        parent: folderOf(container),
      });
      const checksOf = (name: string): string =>
        group([container, object])
          .devices.find(({address}) => address === name)
          ?.assignable.checks.join(' ') ?? '';
      assert.doesNotMatch(checksOf('dprc.2'), /driver-domain/);
      assert.match(checksOf('dpni.1'), /driver-domain/);
      const root = port('0000:00:1c.0', {unit: 'dmar0'});
      const behind = group([root, bound(nic, {parent: folderOf(root)})]);
      assert.equal(judged(behind), 'yes; after bind yes');
    });

    it('is a matter of binding for a controller with a domain behind it, and no for what is in the domain', () => {
      const vmd = device('0000:00:0e.0', {classCode: '010400', driver: 'vmd'});
      const domain = `${folderOf(vmd)}/pci10000:e0`;
      const root = port('10000:e0:06.0', {unit: 'dmar0', parent: domain});
      const disk = device('10000:e1:00.0', {parent: folderOf(root), classCode: '010802', driver: 'nvme'});
      const shared = group([vmd, root, disk]);
      assert.equal(judged(shared), 'no bound ENOENT drivers EPERM; after bind yes');
      assert.deepEqual(
        shared.devices.map(({assignable: {afterBind, checks}}) => [afterBind, checks[0]]),
        [
          ['yes', 'bound'],
          ['no', 'header-type'],
          ['no', 'driver-domain'],
        ],
      );
    });
  });

  describe('of a device that does not work', () => {
    it('is no where it answers with all ones, which a virtual function always does', () => {
      assert.equal(judged(group([bound(nic, {config: ones})])), 'no answers -; after bind no');
      assert.equal(
        judged(group([bound(nic, {config: ones, physfn: 'pci0000:01/0000:01:00.7'})])),
        'yes; after bind yes',
      );
    });

    it('is no where it cannot leave the low-power state that VFIO has put it into, since 5.19', () => {
      const of = (release: string, status = 'error'): string => {
        const spec = bound(nic);
        return judged(
          group([{...spec, files: {...spec.files, 'power/runtime_status': `${status}\n`}}], {
            spec: {release},
          }),
        );
      };
      assert.equal(of('6.12.0'), 'no runtime-pm EINVAL; after bind no');
      assert.equal(of('6.12.0', 'suspended'), 'yes; after bind yes');
      assert.equal(of('5.18.0'), 'yes; after bind yes');
    });

    it('is no where a security manager has locked it for the VM that has it', () => {
      const of = (tsm: string): string => {
        const spec = bound(nic);
        return judged(group([{...spec, files: {...spec.files, 'tsm/bound': `${tsm}\n`}}]));
      };
      assert.equal(of('tsm0'), 'no tsm -; after bind no');
      assert.equal(of(''), 'yes; after bind yes');
    });

    it("is no where the firmware's framebuffer holds its memory", () => {
      const files = {
        'sys/bus/platform/devices/simple-framebuffer.0/uevent': '',
        'proc/iomem': `a0000000-dfffffff : PCI Bus 0000:00
  c0000000-cfffffff : PCI Bus 0000:01
    c0000000-cfffffff : ${nic}
      c0000000-c07e8fff : BOOTFB
  d0000000-d0ffffff : 0000:02:00.0
`,
      };
      const of = (classCode: string, release: string, address = nic): string =>
        judged(group([bound(address, {classCode})], {files, spec: {release}}));
      assert.equal(of('038000', '6.12.0'), 'no framebuffer EBUSY; after bind no');
      assert.equal(of('030200', '6.12.0'), 'no framebuffer EBUSY; after bind no');
      // vfio-pci has those of VGA functions removed
      assert.equal(of('030000', '6.12.0'), 'yes; after bind yes');
      assert.equal(of('030000', '5.15.0'), 'no framebuffer EBUSY; after bind no');
      assert.equal(of('038000', '6.12.0', '0000:02:00.0'), 'yes; after bind yes');
    });
  });

  it('is no for a group that VFIO has made up without an IOMMU, which its name tells', () => {
    const named = (devices: readonly DeviceSpec[], spec: MachineSpec = {}): string =>
      judged(group(devices, {name: 'vfio-noiommu', spec}));
    assert.equal(named([bound(nic, {unit: null})]), 'no noiommu ENODEV; after bind no');
    assert.equal(
      named([bound(nic, {unit: null})], {release: '5.10.0-30-amd64'}),
      'no noiommu ENODEV; after bind no',
    );
    const platform = other('platform', 'fd100000.dma', {driver: 'vfio-platform'});
    assert.equal(named([platform]), 'no noiommu ENODEV; after bind no');
  });

  it('takes no group for one without an IOMMU because no unit shows, or because it is of mediated devices', () => {
    assert.equal(judged(group([bound(nic, {unit: null})])), 'yes; after bind yes');
    assert.equal(judged(group([bound(nic, {unit: null})], {name: 'domain0-pe1'})), 'yes; after bind yes');
    const mdev = other('mdev', '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001', {driver: 'vfio_mdev'});
    assert.equal(judged(group([mdev], {name: 'vfio-noiommu'})), 'yes; after bind yes');
  });

  it('does not know what an IOMMU that shows no unit claims, until VFIO has the device', () => {
    assert.equal(
      judged(group([device(nic, {unit: null})])),
      'no cache-coherency EINVAL? bound ENOENT; after bind unknown',
    );
    assert.equal(
      judged(group([device(nic, {unit: null})], {spec: {release: '5.18.0'}})),
      'no bound ENOENT; after bind yes',
    );
  });

  it('leaves a function to the driver that gives its vGPU to VMs', () => {
    const of = (type: string): string => {
      const spec = device(nic, {
        driver: 'nvidia',
        vendor: '10de',
        device: '20b5',
        physfn: 'pci0000:01/0000:01:00.7',
      });
      return judged(group([{...spec, files: {...spec.files, 'nvidia/current_vgpu_type': `${type}\n`}}]));
    };
    assert.equal(of('531'), 'no vgpu - bound ENOENT drivers EPERM; after bind no');
    assert.equal(of('0'), 'no bound ENOENT drivers EPERM; after bind yes');
    const graphics = device(nic, {driver: 'xe', vendor: '8086', classCode: '030000'});
    const with_ = (type: string): DeviceSpec => ({
      ...graphics,
      files: {...graphics.files, 'xe/current_vgpu_type': `${type}\n`},
    });
    assert.equal(judged(group([with_('3')])), 'no vgpu - bound ENOENT drivers EPERM; after bind no');
    assert.equal(judged(group([with_('0')])), 'no bound ENOENT drivers EPERM; after bind yes');
    // the driver has told VFIO of it
    assert.equal(judged(group([{...with_('3'), vfio: ['vfio3']}])), 'yes; after bind yes');
  });

  it('is no for a device in no group, now and after binding, also where VFIO would make one up', () => {
    const of = (files: Record<string, string>): string[] =>
      readDocument({ungrouped: [pci(nic)]}, files).ungrouped.flatMap(({assignable}) => [
        assignable.verdict,
        assignable.afterBind,
        ...assignable.checks,
      ]);
    assert.deepEqual(of({}), ['no', 'no', 'group', 'bound']);
    const allowed = {'sys/module/vfio/parameters/enable_unsafe_noiommu_mode': 'Y\n'};
    assert.deepEqual(of(allowed), ['no', 'no', 'bound', 'noiommu']);
  });

  it('is no for a group without devices', () => {
    assert.equal(judged(group([])), 'no; after bind no');
  });
});
