import assert from 'node:assert/strict';
import {Attributes} from '../../src/host/attributes.js';
import {readKernel} from '../../src/iommu/kernel.js';
import {CaptureTree} from '../../src/host/capture.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import type {HostTree} from '../../src/host/tree.js';
import {takeSnapshot} from '../../src/snapshot/take-snapshot.js';
import {machine} from '../support/machine.js';

const BTF = 'sys/kernel/btf/vmlinux';
const KALLSYMS = 'proc/kallsyms';
const EL9 = '5.14.0-427.13.1.el9_4.x86_64';

const codeIn = (tree: HostTree): string => {
  const {vendor, codeVersion, codeVersionFrom} = readKernel(new Attributes(tree));
  return `${vendor ?? 'nobody'}: ${codeVersion ?? 'none'} by ${codeVersionFrom}`;
};

const codeOf = (release: string, files: Record<string, string> = {}): string => {
  using made = machine({release});
  for (const [path, text] of Object.entries(files)) made.write(path, text);
  return codeIn(new DirectoryTree(made.root));
};

const btf = (...names: string[]): string => ['\x9f\xeb\x01', 'iommu_group_alloc', ...names, ''].join('\0');
const symbols = (...names: string[]): string =>
  ['iommu_group_alloc', ...names].map((name) => `0000000000000000 T ${name}\n`).join('');

describe('how old the code of VFIO and the IOMMUs is in a kernel', () => {
  for (const [release, code] of Object.entries({
    [EL9]: 'RHEL 9: 5.19 by family',
    '5.14.0-284.11.1.el9_2.x86_64': 'RHEL 9: 5.14 by family',
    '4.18.0-553.el8_10.x86_64': 'RHEL 8: 4.18 by family',
    '6.12.0-55.9.1.el10_0.x86_64': 'RHEL 10: 6.12 by version',
    '5.14.21-150500.55.39-default': 'SUSE Linux Enterprise: 5.14 by family',
    '6.4.0-150600.23.17-default': 'SUSE Linux Enterprise: 6.4 by family',
    '4.12.14-122.37-default': 'SUSE Linux Enterprise: 4.12 by family',
    '4.12.14-120-default': 'SUSE Linux Enterprise: 4.12 by family',
    '5.3.18-57-default': 'SUSE Linux Enterprise: 5.3 by family',
    '5.3.18-150300.59.93-default': 'SUSE Linux Enterprise: 5.3 by family',
    '5.3.18-lp152.19.2-default': 'SUSE Linux Enterprise: 5.3 by family',
    '6.4.0-150600.10.17-rt': 'SUSE Linux Enterprise: 6.4 by family',
    '3.10.0-1160.118.1.el7.x86_64': 'RHEL 7: 3.10 by family',
    '4.18.0-553.rt7.342.el8_10.x86_64': 'RHEL 8: 4.18 by family',
    '5.14.0-427.13.1.el9_4.x86_64+rt': 'RHEL 9: 5.19 by family',
    '5.14.0-503.11.1.el9_5.aarch64+64k': 'RHEL 9: 5.19 by family',
    '5.4.17-2136.330.7.1.el8uek.x86_64': 'Oracle UEK: 5.4 by family',
    '5.10.134-16.3.al8.x86_64': 'Alibaba Cloud Linux: 5.10 by family',
    '4.19.91-27.4.alnx7.x86_64': 'Alibaba Cloud Linux: 4.19 by family',
    '5.10.0-60.18.0.50.r865_35.hce2.x86_64': 'EulerOS: 5.10 by family',
    '4.19.90-52.22.v2207.ky10.x86_64': 'Kylin: 4.19 by family',
    '5.4.119-19.0009.28': 'TencentOS: 5.4 by family',
    '5.4.241-1-tlinux4-0017.7': 'TencentOS: 5.4 by family',
    '5.15.0-300.163.18.el9uek.x86_64': 'Oracle UEK: 5.15 by family',
    '6.5.0-1024-nvidia': 'NVIDIA of Ubuntu: 6.5 by family',
    // whose version means what it says
    '6.5.0-35-generic': 'nobody: 6.5 by version',
    '5.15.0-130-generic': 'nobody: 5.15 by version',
    '6.1.79-99.167.amzn2023.x86_64': 'nobody: 6.1 by version',
    '5.3.18-1-default': 'nobody: 5.3 by version',
    '5.10.0-46-amd64': 'nobody: 5.10 by version',
    '6.1.0-1.el9.elrepo.x86_64': 'nobody: 6.1 by version',
    '6.4.0-1-amd64': 'nobody: 6.4 by version',
    '6.8.12-4-pve': 'nobody: 6.8 by version',
  })) {
    it(`is ${code} on ${release}`, () => {
      assert.equal(codeOf(release), code);
    });
  }

  it('is that of the names in the kernel, never older than the release', () => {
    for (const [names, version] of [
      [[], '5.14'],
      [['iommu_group_claim_dma_owner'], '5.19'],
      [['iommu_group_claim_dma_owner', 'blocking_domain_attach_dev'], '6.2'],
      [['iommu_group_claim_dma_owner', 'blocking_domain_attach_dev', 'iommu_alloc_global_pasid'], '6.6'],
    ] as const) {
      assert.equal(codeOf(EL9, {[BTF]: btf(...names)}), `RHEL 9: ${version} by btf`);
      assert.equal(codeOf(EL9, {[KALLSYMS]: symbols(...names)}), `RHEL 9: ${version} by kallsyms`);
    }
    assert.equal(codeOf(EL9, {[BTF]: btf('require_direct')}), 'RHEL 9: 6.6 by btf');
    assert.equal(
      codeOf('6.4.0-150600.23.17-default', {[BTF]: btf('iommu_group_claim_dma_owner')}),
      'SUSE Linux Enterprise: 6.4 by btf',
    );
    // of s390
    assert.equal(codeOf(EL9, {[BTF]: btf('blocking_domain_attach_device')}), 'RHEL 9: 5.14 by btf');
  });

  it('is not looked for in files that name nothing of it, nor in other kernels', () => {
    assert.equal(codeOf(EL9, {[KALLSYMS]: ''}), 'RHEL 9: 5.19 by family');
    assert.equal(codeOf('6.1.0-56-amd64', {[BTF]: btf('require_direct')}), 'nobody: 6.1 by version');
  });

  it('is the same from a snapshot', () => {
    using made = machine({release: EL9});
    made.write(BTF, btf('iommu_group_claim_dma_owner', 'require_direct'));
    const {capture} = takeSnapshot(new DirectoryTree(made.root), '0', true);
    assert.equal(codeIn(new CaptureTree(capture, 'snapshot.json')), 'RHEL 9: 6.6 by btf');
  });
});
