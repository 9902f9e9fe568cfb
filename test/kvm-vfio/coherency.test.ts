import assert from 'node:assert/strict';
import type {Device} from '../../src/iommu/device.js';
import type {Group} from '../../src/iommu/group.js';
import type {Kernel} from '../../src/iommu/kernel.js';
import type {Verdict} from '../../src/iommu/snoop-control.js';
import {vmCoherency, type Registration} from '../../src/kvm-vfio/coherency.js';
import {deviceCoherency, groupCoherency} from '../../src/kvm-vfio/model/enforced-coherent.js';

const kernel = (architecture = 'x86_64', release = '6.12.0', stable: number | null = null): Kernel => ({
  release,
  architecture,
  parameters: [],
  stable,
  coherencyRule: 'devices',
  coherencyRuleFrom: 'version',
  vendor: null,
  codeVersion: '6.12',
  codeVersionFrom: 'version',
});

const registration = (verdict: Verdict, registered: boolean | null): Registration => ({
  verdict,
  confidence: 'exact',
  registered,
});

const stateOf = (...files: Registration[]): string => vmCoherency(files, kernel(), 'intel').state;

describe("a VM's coherency", () => {
  it('is lost with the first registered file that is not coherent', () => {
    assert.equal(stateOf(), 'coherent');
    assert.equal(stateOf(registration('enforced', true)), 'coherent');
    assert.equal(
      stateOf(
        registration('enforced', true),
        registration('not-enforced', true),
        registration('unknown', true),
      ),
      'non-coherent',
    );
    assert.equal(stateOf(registration('not-enforced', false)), 'coherent');
  });

  it('is unknown, not coherent, while it depends on what is not known', () => {
    assert.equal(stateOf(registration('not-enforced', null)), 'unknown');
    assert.equal(stateOf(registration('unknown', true)), 'unknown');
    assert.equal(stateOf(registration('enforced', null)), 'coherent');
    assert.equal(stateOf(registration('unknown', null), registration('not-enforced', true)), 'non-coherent');
  });

  it('decides what WBINVD does on x86, and guest memory types where the CPU can ignore them', () => {
    const bad = [registration('not-enforced', true)];
    const on = (files: Registration[], ...release: [string, (number | null)?]): string =>
      vmCoherency(files, kernel('x86_64', ...release), 'intel').wbinvd;
    assert.equal(vmCoherency([], kernel(), 'amd').wbinvd, 'WBINVD is skipped');
    assert.equal(on([], '6.12.0', 77), 'WBINVD is skipped, guest memory types ignored');
    for (const [release, stable] of [
      ['6.12.0', 78],
      ['6.16.0', null],
      ['7.3.4', null],
    ] as const)
      assert.match(on([], release, stable), /guest memory types ignored unless its VMM has KVM heed them$/);
    assert.match(on(bad, '6.1.0'), /has dirtied, guest memory types honoured$/);
    assert.match(on(bad, '6.11.0'), /has dirtied, guest PAT honoured$/);
    assert.equal(
      vmCoherency(bad, kernel(), 'amd').wbinvd,
      'WBINVD is executed on every CPU the vCPU has dirtied',
    );
    assert.match(vmCoherency(bad, kernel('aarch64'), null).wbinvd, /nothing depends on it/);
  });
});

describe('what KVM is told of a group', () => {
  const group = (verdict: Verdict): Group =>
    ({snoopControl: {verdict, confidence: 'exact'}}) as unknown as Group;
  const told = (
    verdict: Verdict,
    rule: Kernel['coherencyRule'],
    container: 'none' | 'type1' | 'unknown',
  ): string => groupCoherency(group(verdict), rule, container).verdict;

  it('does not depend on containers since 6.2', () => {
    for (const container of ['none', 'type1', 'unknown'] as const)
      assert.equal(told('not-enforced', 'devices', container), 'not-enforced');
  });

  it('is the container before 6.2, and no container is coherent', () => {
    assert.equal(told('not-enforced', 'container', 'none'), 'enforced');
    assert.equal(told('not-enforced', 'container', 'type1'), 'not-enforced');
    assert.equal(told('not-enforced', 'container', 'unknown'), 'unknown');
    assert.equal(told('enforced', 'container', 'unknown'), 'unknown');
    assert.equal(told('enforced', 'all-units', 'type1'), 'enforced');
  });
});

describe('what KVM is told of a device by its cdev', () => {
  it('is what the IOMMU does for that device', () => {
    const device = {snoopControl: {verdict: 'enforced', confidence: 'exact', evidence: []}} as unknown;
    assert.deepEqual(deviceCoherency(device as Device), {verdict: 'enforced', confidence: 'exact'});
  });
});
