import assert from 'node:assert/strict';
import {takeSnapshot} from '../../src/snapshot/take-snapshot.js';
import type {KernelCoherency} from '../../src/iommu/coherency-rule.js';
import {readHost, type Host} from '../../src/iommu/host.js';
import {CaptureTree} from '../../src/host/capture.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {intel, machine, pci, type Machine} from '../support/machine.js';
import {explain} from '../support/read.js';

const UNITS = {dmar0: intel('c40660442'), dmar1: intel('f050da')};
const GROUPS = {1: [pci('0000:01:00.0', {unit: 'dmar1', driver: 'vfio-pci'})]};
const BTF = 'sys/kernel/btf/vfio';
const KALLSYMS = 'proc/kallsyms';
const RHEL_9 = '5.14.0-427.13.1.el9_4.x86_64';

/** A machine with one unit that has snoop control, which serves the device, and one that has not. */
const built = (release: string, files: Record<string, string> = {}): Machine => {
  const made = machine({release, units: UNITS, groups: GROUPS});
  for (const [path, text] of Object.entries(files)) made.write(path, text);
  return made;
};

const hostOf = (release: string, files: Record<string, string> = {}): Host => {
  using made = built(release, files);
  return readHost(new DirectoryTree(made.root));
};

const ruleOf = ({kernel: {coherencyRule, coherencyRuleFrom}}: Pick<Host, 'kernel'>): string =>
  `${coherencyRule} by ${coherencyRuleFrom satisfies KernelCoherency['coherencyRuleFrom']}`;

/** As BTF has names: each ends in a NUL. */
const btf = (...names: string[]): string => ['\x9f\xeb\x01', 'vfio_init', ...names, ''].join('\0');

const symbols = (...names: string[]): string =>
  names.map((name) => `0000000000000000 T ${name}\t[vfio]\n`).join('');

describe('the rule by which a kernel decides about coherency', () => {
  for (const [release, rule] of Object.entries({
    [RHEL_9]: 'devices by family',
    '5.14.0-309.el9.x86_64': 'devices by family',
    '5.14.0-308.el9.x86_64': 'all-units by family',
    '5.14.0-284.11.1.el9_2.x86_64': 'all-units by family',
    '5.14.0-503.11.1.el9_5.aarch64': 'devices by family',
    '5.14.0-570.el9.x86_64+rt': 'devices by family',
    '5.14.0-362.hs3.hsx.el9.x86_64': 'devices by family',
    // older than the function
    '5.14.0-70.13.1.el9_0.x86_64': 'all-units by family',
    '5.14.0-162.6.1.el9_1.x86_64': 'all-units by family',
    // others
    '5.14.0-1.el9.elrepo.x86_64': 'all-units by version',
    '5.14.0-427.el8.x86_64': 'all-units by version',
    '5.14.0': 'all-units by version',
    '5.14.21-1-default': 'all-units by version',
    '5.14.21-150500.55.39-default': 'all-units by family',
    '5.15.0-300.163.18.el9uek.x86_64': 'all-units by family',
    '5.15.0-101-generic': 'all-units by version',
    '5.15.0-1050-nvidia': 'all-units by family',
    '5.10.0-60.18.0.50.oe2203.x86_64': 'all-units by family',
    '4.18.0-553.el8_10.x86_64': 'all-units by family',
    '5.19.0-50-generic': 'container by version',
    '6.1.0-21-amd64': 'container by version',
    '6.2.0-39-generic': 'devices by version',
    '6.12.0-55.9.1.el10_0.x86_64': 'devices by version',
  })) {
    it(`is ${rule} on ${release}`, () => {
      assert.equal(ruleOf(hostOf(release)), rule);
    });
  }

  it('is that of the functions that VFIO has, whatever release and family say', () => {
    for (const [names, rule] of [
      [['vfio_file_enforced_coherent', 'vfio_group_enforced_coherent'], 'devices'],
      [['vfio_file_enforced_coherent'], 'container'],
      [['vfio_external_check_extension'], 'all-units'],
    ] as const) {
      for (const release of [RHEL_9, '5.14.21-150500.55.39-default', '6.1.0-21-amd64']) {
        assert.equal(ruleOf(hostOf(release, {[BTF]: btf(...names)})), `${rule} by btf`);
      }
      assert.equal(ruleOf(hostOf(RHEL_9, {[KALLSYMS]: symbols(...names)})), `${rule} by kallsyms`);
    }
  });

  it('is found wherever the name lies in a long file', () => {
    for (const before of [65_520, 65_536, 200_000]) {
      const text = `${'x'.repeat(before)}\n${symbols('vfio_group_enforced_coherent')}`;
      assert.equal(ruleOf(hostOf('5.14.0-70.el9_0.x86_64', {[KALLSYMS]: text})), 'devices by kallsyms');
    }
  });

  it('is that of a VFIO which is built in', () => {
    const builtIn = {'sys/kernel/btf/vmlinux': btf('vfio_file_enforced_coherent')};
    assert.equal(ruleOf(hostOf('5.15.0-300.163.18.el9uek.x86_64', builtIn)), 'container by btf');
  });

  it('takes no part of a longer name for a name', () => {
    const longer = {[KALLSYMS]: symbols('vfio_group_enforced_coherent_v2', 'my_vfio_file_enforced_coherent')};
    assert.equal(ruleOf(hostOf('5.14.0-70.el9_0.x86_64', longer)), 'all-units by family');
  });

  it('falls back where a file has none of the names, as while vfio is not loaded', () => {
    assert.equal(
      ruleOf(hostOf(RHEL_9, {[KALLSYMS]: symbols('kvm_init'), [BTF]: btf()})),
      'devices by family',
    );
    assert.equal(ruleOf(hostOf('6.1.0', {[BTF]: btf()})), 'container by version');
  });

  it('makes no verdict exact that rests on the family, and says so', () => {
    const judged = (files?: Record<string, string>): unknown[] => {
      const [group] = hostOf(RHEL_9, files).groups;
      assert.ok(group);
      const {verdict, confidence, boundMembers, evidence} = group.snoopControl;
      return [
        verdict,
        confidence,
        boundMembers?.confidence,
        evidence.some(({statement}) => statement.includes('family of RHEL 9')),
      ];
    };
    assert.deepEqual(judged(), ['enforced', 'by-type', 'by-type', true]);
    assert.deepEqual(judged({[BTF]: btf('vfio_group_enforced_coherent')}), [
      'enforced',
      'exact',
      'exact',
      false,
    ]);
    assert.match(explain({release: RHEL_9, units: UNITS, groups: GROUPS}), /takes this from the release/);
  });

  it('is the same from a snapshot, which has no other symbols', () => {
    using made = built(RHEL_9, {
      [KALLSYMS]: `${'x'.repeat(65_530)}\n${symbols('vfio_file_enforced_coherent', 'somebody_elses')}`,
    });
    const {capture} = takeSnapshot(new DirectoryTree(made.root), '0', true);
    assert.equal(ruleOf(readHost(new CaptureTree(capture, 'snapshot.json'))), 'container by kallsyms');
    const kept = Object.values(capture.parts['/proc/kallsyms'] ?? {}).join('');
    assert.equal(Buffer.from(kept, 'hex').toString(), 'vfio_file_enforced_coherent');
  });
});
