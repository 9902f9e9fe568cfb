import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {chmodSync, mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {USUAL_GROUPS_COLUMNS} from '../../src/cli/answers/groups-table.js';
import type {ErrorDocument} from '../../src/cli/output/report.js';
import Groups from '../../src/commands/groups.js';
import type {GroupsDocument} from '../../src/groups/groups-document.js';
import {MACHINES} from '../fixtures/machines.js';
import {intel, machine, pci, type Machine} from '../support/machine.js';
import {made} from '../support/made.js';
import {needs} from '../support/needs.js';
import {buildOnce, PROJECT, run, start} from '../support/run.js';
import {documentOf} from '../support/schema.js';
import {STEERING} from '../support/steering.js';
import {scratch} from '../vm/vmm.js';

/** A guest of the lab whose devices are all behind one unit. */
const LAB = join(PROJECT, 'test/fixtures/lab-intel.json');

const PC = MACHINES['a PC whose graphics has an IOMMU unit of its own'] ?? {};

const groups = async (...argv: string[]): Promise<{exit: number; lines: string[]; stderr: string}> => {
  using built = machine(PC);
  const sysroot = argv.includes('--sysroot') ? [] : ['--sysroot', built.root];
  const {exit, stdout, stderr} = await run(Groups, [...sysroot, ...argv]);
  return {exit, lines: stdout.trimEnd().split('\n'), stderr};
};

const json = async (...argv: string[]): Promise<GroupsDocument> =>
  documentOf((await groups('--json', ...argv)).lines.join('\n'), 'groups');

describe('kvfio groups --rank', () => {
  it('prints the groups in the order of their places, each with its reasons in words', async () => {
    const {lines, exit} = await groups('--rank');
    assert.equal(exit, 0);
    assert.deepEqual(
      lines.filter((line) => /^\d/.test(line)).map((line) => line.replace(/:.*/, '')),
      ['1. group 0, before group 2 by isolation', '2. group 2, before group 1 by assignable', '3. group 1'],
    );
    // where it is piped, each reason is one line
    const reason =
      /^ +reset: 0000:01:00\.1 can be reset only with its bus, which also resets 0000:01:00\.0 of the group$/;
    assert.equal(lines.filter((line) => reason.test(line)).length, 1);
  });

  it('has the same places in a document that keeps to its schema, and in a table', async () => {
    const document = await json('--rank', '--numa', '1');
    assert.deepEqual(document.ranking?.criteria, [
      'assignable',
      'isolation',
      'numa',
      'reset',
      'boot-display',
    ]);
    assert.deepEqual(
      document.groups.map(({rank}) => rank?.place),
      [1, 2, 3],
    );
    const {lines} = await groups('--rank', '--numa', '1', '--columns', 'place,group', '--no-header');
    assert.deepEqual(
      [...new Set(lines)].map((line) => line.split(/ +/).map(Number)),
      document.groups.map(({group}, at) => [at + 1, group]),
    );
  });

  it('is about groups with a device of a kind, or of a number', async () => {
    const numbers = async (...argv: string[]): Promise<number[]> =>
      (await json('--rank', ...argv)).groups.map(({group}) => group);
    assert.deepEqual(await numbers('--for', 'gpu'), [0, 2]);
    assert.deepEqual(await numbers('--for', 'nic', '--for', 'nvme'), []);
    assert.deepEqual(await numbers('--group', '2'), [2]);
    assert.deepEqual(await numbers('--coherent'), [2, 1]);
  });

  it('says which groups --coherent leaves out because nobody knows their verdict', async () => {
    using built = machine({units: {odd: {files: {}}}, groups: {4: [pci('0000:01:00.0', {unit: 'odd'})]}});
    const {stderr, exit} = await groups('--sysroot', built.root, '--rank', '--coherent');
    assert.equal(exit, 0);
    assert.match(stderr, /--coherent leaves out group 4, whose verdict is unknown\./);
  });

  it('has no places and no ranking unless they are asked for', async () => {
    const document = await json();
    assert.equal(document.ranking, null);
    assert.deepEqual([...new Set(document.groups.map(({rank}) => rank))], [null]);
  });
});

describe('kvfio groups --device', () => {
  it('takes a device by its PCI path, and ids for all that have them', async () => {
    const byPath = await json('--device', '00:1c.0/00.1');
    assert.deepEqual(byPath.selected, [{selector: '00:1c.0/00.1', by: 'path', address: '0000:01:00.1'}]);
    const matched = ({groups: listed}: GroupsDocument): string[] =>
      listed.flatMap(({devices}) => devices.filter((device) => device.matched).map(({address}) => address));
    assert.deepEqual(matched(byPath), ['0000:01:00.1']);
    const byIds = await json('--device', '10de:', '--device', '8086:5916#1');
    assert.deepEqual(matched(byIds), ['0000:00:02.0', '0000:01:00.0', '0000:01:00.1']);
    assert.deepEqual(
      byIds.selected.map(({by}) => by),
      ['ids'],
    );
  });
});

describe('kvfio groups', () => {
  for (const [name, spec] of Object.entries(MACHINES)) {
    it(`prints documents that keep to their schema, and plain text, on a machine with ${name}`, async () => {
      using built = machine(spec);
      for (const flags of [[], ['--explain', '--regions']]) {
        const outcome = await run(Groups, ['--sysroot', built.root, '--json', ...flags]);
        assert.equal(outcome.exit, 0);
        documentOf(outcome.stdout, 'groups');
        const text = await run(Groups, ['--sysroot', built.root, ...flags]);
        assert.equal(text.exit, 0);
        assert.doesNotMatch(text.stdout.replaceAll('\n', ''), STEERING);
      }
    });
  }

  describe('as a table', () => {
    it('has groups in numeric order and members by address', async () => {
      assert.deepEqual((await groups('--columns', 'group,address', '--no-header')).lines, [
        '0  0000:00:02.0',
        '1  0000:00:00.0',
        '2  0000:00:1c.0',
        '2  0000:01:00.0',
        '2  0000:01:00.1',
      ]);
    });

    it('tells of members that a filter hides, but for bridges, in a column or on stderr', async () => {
      const gpu = ['--device', '0000:01:00.0'];
      const {stderr, lines} = await groups(...gpu, '--columns', 'group', '--no-header');
      assert.deepEqual(lines, ['2']);
      assert.match(stderr, /^kvfio: group 2 has more members than match: 0000:01:00\.1\.$/m);
      const {lines: table, stderr: nothing} = await groups(...gpu);
      assert.match(table[1] ?? '', / 3 \(2 hidden\)$/);
      const whole = ['--device', '0000:01:00.0', '--device', '0000:01:00.1', '--columns', 'group'];
      for (const silent of [
        nothing,
        (await groups(...whole)).stderr,
        (await groups(...gpu, '--json')).stderr,
      ])
        assert.doesNotMatch(silent, /more members/);
    });

    it('has one line of column names, which --no-header leaves out', async () => {
      const [head, ...rest] = (await groups()).lines;
      assert.deepEqual(
        head?.split(/ +/),
        USUAL_GROUPS_COLUMNS.map((column) => column.toUpperCase()),
      );
      assert.deepEqual((await groups('--no-header')).lines.length, rest.length);
    });

    it('tells the verdict of a member from that of its group', async () => {
      const {lines} = await groups(
        '--columns',
        'address,snoop,viable,nosnoop,reset,override,numa',
        '--no-header',
      );
      assert.deepEqual(lines.map((line) => line.split(/ {2,}/)).slice(0, 5), [
        ['0000:00:02.0', 'not-enforced', 'blocks', 'on', '-', '-', '-'],
        ['0000:00:00.0', 'enforced', 'blocks', 'n/a', '-', '-', '-'],
        ['0000:00:1c.0', 'enforced', 'no', 'off', '-', '-', '-'],
        ['0000:01:00.0', 'enforced', 'no', 'on', 'flr bus', 'vfio-pci', '1'],
        ['0000:01:00.1', 'enforced', 'blocks', 'on', '-', '-', '-'],
      ]);
    });

    it('is as sure of a verdict as the less sure of member and group', async () => {
      const sure = async (release: string, ...units: ('with' | 'without')[]): Promise<string[]> => {
        using built = machine({
          release,
          units: {with: intel('f050da'), without: intel('f0505a')},
          groups: {0: units.map((unit, at) => pci(`0000:01:00.${at}`, {unit}))},
        });
        return (
          await groups('--sysroot', built.root, '--columns', 'snoop,confidence', '--no-header')
        ).lines.map((line) => line.trim().replace(/ {2,}/, ', '));
      };
      const rhel9 = '5.14.0-427.13.1.el9_4.x86_64';
      assert.deepEqual(await sure('6.12.1', 'with'), ['enforced, exact']);
      assert.deepEqual(await sure(rhel9, 'with'), ['enforced, by-type']);
      assert.deepEqual(await sure(rhel9, 'with', 'without'), [
        'enforced (group: not-enforced), exact (group: by-type)',
        'not-enforced, by-type',
      ]);
    });

    it('explains once what is true of several groups, and says which has it', async () => {
      const {stdout} = await run(Groups, ['--sysroot', LAB, '--explain']);
      for (const pattern of [/decides by the VFIO container/g, /Capability Register of dmar0 reads 0x/g])
        assert.equal(stdout.match(pattern)?.length, 1, String(pattern));
      assert.match(
        stdout,
        /^Group 12: .*\n(.*\n)+ {2}As for group 0: "The Extended Capability Register of dmar0 …", "Kernel 6\.1\.0-\S+ decides by the VFIO …"/m,
      );
      const {stdout: json} = await run(Groups, ['--sysroot', LAB, '--explain', '--json']);
      for (const {explanation} of (JSON.parse(json) as GroupsDocument).groups)
        assert.ok(
          explanation?.some((text) => text.includes('decides by the VFIO container')),
          'whole in JSON',
        );
    });

    it('explains a device in no group', async () => {
      using built = machine({
        units: {dmar0: intel('f050da')},
        commandLine: 'intel_iommu=on,igfx_off',
        groups: {0: [pci('0000:01:00.0', {unit: 'dmar0'})]},
        ungrouped: [pci('0000:00:02.0', {classCode: '030000'})],
      });
      const {stdout, exit} = await run(Groups, ['--sysroot', built.root, '--device', '00:02.0', '--explain']);
      assert.equal(exit, 0);
      assert.match(stdout, /Device 0000:00:02\.0: in no group/);
      assert.match(stdout, /intel_iommu=on,igfx_off on the command line switches off the unit/);
    });

    it('sorts by a column, upwards and downwards', async () => {
      const sort = async (...by: string[]): Promise<string[]> =>
        (await groups('--columns', 'driver', '--no-header', ...by)).lines;
      const up = ['i915', 'pcieport', 'skl_uncore', 'snd_hda_intel', 'vfio-pci'];
      assert.deepEqual(await sort('--sort', 'driver'), up);
      assert.deepEqual(await sort('--sort', 'driver', '--reverse'), up.toReversed());
    });

    it('has every column that --columns may name, and names them when it does not know one', async () => {
      const {exit, stderr} = await groups('--columns', 'group,colour');
      assert.equal(exit, 2);
      const all = /The columns are (.*)\./.exec(stderr)?.[1]?.split(', ') ?? [];
      assert.ok(all.length > 15);
      assert.equal((await groups('--columns', all.join(','))).exit, 0);
    });

    it('prints comma-separated values with header and quotes', async () => {
      const {lines} = await groups('--csv', '--columns', 'group,name', '--class', 'gpu');
      assert.deepEqual(lines, [
        'group,name',
        '0,VGA compatible controller: Intel Corporation Device 5916',
        '2,VGA compatible controller: NVIDIA Corporation GP104 [GeForce GTX 1080]',
      ]);
    });

    it('shows reserved regions on request', async () => {
      const {lines} = await groups('--regions', '--group', '0');
      assert.deepEqual(lines.slice(2), [
        'group 0 reserved 0x000000008b000000-0x000000008f7fffff direct-relaxable',
        'group 0 reserved 0x00000000fee00000-0x00000000feefffff msi',
      ]);
    });

    it('has colours only where they are wanted', function () {
      needs(this, 'build');
      const painted = (env: Record<string, string>, ...flags: string[]): boolean => {
        using built = machine(PC);
        const {stdout} = start(['groups', '--sysroot', built.root, ...flags], {env});
        return stdout.includes('\u001b[');
      };
      assert.equal(painted({}), false);
      assert.equal(painted({FORCE_COLOR: '1'}), true);
      assert.equal(painted({FORCE_COLOR: '1', NO_COLOR: '1'}), true);
      assert.equal(painted({FORCE_COLOR: '1'}, '--no-color'), false);
      assert.equal(painted({FORCE_COLOR: '0'}), false);
    });
  });

  describe('with filters', () => {
    it('keeps the groups of selected devices whole in the document, and says what matched', async () => {
      const document = await json('--driver', 'vfio-pci');
      assert.deepEqual(
        document.groups.map(({id, devices}) => [id, devices.map(({address, matched}) => [address, matched])]),
        [
          [
            2,
            [
              ['0000:00:1c.0', false],
              ['0000:01:00.0', true],
              ['0000:01:00.1', false],
            ],
          ],
        ],
      );
    });

    it('prints nothing, and no header, when nothing matches', async () => {
      const {exit, lines} = await groups('--driver', 'nothing');
      assert.deepEqual([exit, lines], [0, ['']]);
    });

    it('takes several groups', async () => {
      assert.deepEqual(
        (await json('--group', '2', '--group', '0')).groups.map(({id}) => id),
        [0, 2],
      );
    });

    it('looks for a device only in the groups that are asked for', async () => {
      assert.equal((await groups('--group', '2', '--device', '0000:01:00.0')).exit, 0);
      const {exit, stderr} = await groups('--group', '0', '--device', '0000:01:00.0');
      assert.equal(exit, 3);
      assert.match(stderr, /None of the groups and buses that were looked at/);
    });
  });

  describe('when it fails', () => {
    const rows: [argv: string[], exit: number, code: string][] = [
      [['--group', '77'], 3, 'GROUP_NOT_FOUND'],
      [['--device', '0000:77:00.0'], 3, 'DEVICE_NOT_FOUND'],
      [['--device', 'zz'], 3, 'DEVICE_NOT_FOUND'],
      [['--columns', 'colour'], 2, 'NO_SUCH_COLUMN'],
      [['--sort', 'colour'], 2, 'NO_SUCH_COLUMN'],
      [['--group', '-1'], 2, 'USAGE'],
      [['--group', 'x'], 2, 'USAGE'],
      [['--class', 'toaster'], 2, 'USAGE'],
      [['--snoop', 'maybe'], 2, 'USAGE'],
      [['--colour'], 2, 'USAGE'],
      [['argument'], 2, 'USAGE'],
      [['--sysroot', '/nonexistent'], 3, 'SYSROOT_UNREADABLE'],
      [['--sysroot', '/etc/passwd'], 2, 'SYSROOT_UNUSABLE'],
      [['--sysroot', '/etc'], 2, 'SYSROOT_UNUSABLE'],
    ];
    for (const [argv, exit, code] of rows) {
      it(`exits with ${exit} for ${argv.join(' ')}, in words and as a document`, async () => {
        const words = await groups(...argv);
        assert.deepEqual([words.exit, words.lines], [exit, ['']]);
        assert.match(words.stderr, /^kvfio: \S.*\n {2}\S.*\n {2}\S.*\n$/s);
        const document = await groups(...argv, '--json');
        const {error} = documentOf<ErrorDocument>(document.lines.join('\n'), 'error');
        assert.deepEqual([document.exit, error.exit, error.code], [exit, exit, code]);
      });
    }

    it('does not print a table and an error for the same call', async () => {
      const {exit, lines} = await groups('--json', '--csv');
      assert.equal(exit, 2);
      documentOf(lines.join('\n'), 'error');
    });
  });

  it('has no groups as an answer, and one line on stderr that says why', async () => {
    using built = machine({tables: ['DMAR'], commandLine: 'intel_iommu=off', pciIds: PC.pciIds ?? ''});
    const {exit, stdout, stderr} = await run(Groups, ['--sysroot', built.root]);
    assert.deepEqual([exit, stdout], [0, '']);
    assert.equal(
      stderr,
      'kvfio: no IOMMU groups: firmware announces Intel VT-d (table DMAR), but the kernel command line says ' +
        'intel_iommu=off; remove intel_iommu=off from the kernel command line and reboot.\n',
    );
    const document = await run(Groups, ['--sysroot', built.root, '--json']);
    assert.equal(
      documentOf<GroupsDocument>(document.stdout, 'groups').noGroups?.cause,
      'off-on-command-line',
    );
  });

  describe('as a program', () => {
    let folder: string;
    let pc: Machine;
    made(function () {
      this.timeout(120_000);
      needs(this, 'build');
      buildOnce();
      return (pc = machine(PC));
    });
    made(() => {
      const made = scratch();
      folder = made.path('');
      return made;
    });

    it('prints the same as its class does', async () => {
      const argv = ['--sysroot', pc.root];
      const {exit, stdout, stderr} = start(['groups', ...argv]);
      assert.deepEqual({exit, stdout, stderr}, await run(Groups, argv));
    });

    it('exits with the code of its failure, with and without --json', () => {
      for (const json of [[], ['--json']]) {
        assert.equal(start(['groups', '--sysroot', pc.root, '--group', '9', ...json]).exit, 3);
        assert.equal(start(['groups', '--bad', ...json]).exit, 2);
        assert.equal(start(['grps', ...json]).exit, 2);
      }
      const malformed = join(folder, 'malformed.json');
      writeFileSync(malformed, '{"kvfioCapture": 1}');
      const {exit, stdout, stderr} = start(['groups', '--sysroot', malformed, '--json']);
      assert.deepEqual([exit, stderr], [2, '']);
      documentOf(stdout, 'error');
    });

    it('ends in peace when the reader of its output goes away', () => {
      const devices = Array.from({length: 3000}, (_, n) =>
        pci(`0000:${(n >> 5).toString(16).padStart(2, '0')}:${(n & 31).toString(16).padStart(2, '0')}.0`),
      );
      using many = machine({groups: {0: devices}}, '/dev/shm');
      const {stdout, stderr} = spawnSync(
        'bash',
        [
          '-c',
          '"$0" bin/run.js groups --json --sysroot "$1" | head -1; echo "${PIPESTATUS[0]}"',
          process.execPath,
          many.root,
        ],
        {encoding: 'utf8', cwd: PROJECT},
      );
      assert.deepEqual([stdout, stderr], ['{\n0\n', '']);
    });

    it('needs no root', () => {
      const {exit, stdout, stderr} = start(['groups', '--json', '--sysroot', pc.root], {uid: 65534});
      assert.deepEqual([exit, stderr], [0, '']);
      assert.equal(documentOf<GroupsDocument>(stdout, 'groups').groups.length, 3);
    });

    it('says which permission it lacks', () => {
      chmodSync(folder, 0o700);
      mkdirSync(join(folder, 'sys'));
      const {exit, stderr} = start(['groups', '--sysroot', folder], {uid: 65534});
      assert.equal(exit, 4);
      assert.match(stderr, /EACCES/);
    });

    it('reads this machine, as root and as an ordinary user, who sees no No-Snoop bit', () => {
      const bits = (uid?: number): (readonly [string, string])[] => {
        const {exit, stdout} = start(['groups', '--json'], uid === undefined ? {} : {uid});
        assert.equal(exit, 0);
        const {groups, ungrouped} = documentOf<GroupsDocument>(stdout, 'groups');
        return [...groups.flatMap(({devices}) => devices), ...ungrouped].map((device) => [
          device.address,
          device.noSnoop,
        ]);
      };
      const [own, ordinary] = [bits(), bits(65534)];
      assert.deepEqual(
        ordinary.map(([address]) => address),
        own.map(([address]) => address),
      );
      // what the kernel shows of a function without PCIe capability depends on where its list leads, so: no state is made up
      for (const [address, state] of ordinary)
        assert.ok(state === 'unknown' || state === 'not-applicable', address);
    });
  });
});
