import assert from 'node:assert/strict';
import type {MachineRecord} from '../../src/probe/machine-record.js';
import {seriesDifference, seriesDocument, type SeriesDocument} from '../../src/probe/series-document.js';
import type {Operation, Phase} from '../../src/probe/series.js';
import {verdictOf, type ProbeEvidence} from '../../src/probe/verdict.js';

const CLOCK = {tscKhz: 2_000_000, source: 'KVM_GET_TSC_KHZ'};

/** Samples around a median, in nanoseconds. */
const around = (operation: Operation, phase: Phase, median: number): SeriesDocument => {
  const ticks = Float64Array.from({length: 500}, (_, index) => median * 2 + ((index * 7919) % 41) - 20);
  return seriesDocument({operation, phase, ticks}, CLOCK);
};

const BARE: MachineRecord = {
  cpu: 'Intel(R) Xeon(R) Platinum 8468',
  vendor: 'GenuineIntel',
  signature: '6-143-8',
  microcode: null,
  kernel: '6.12.0',
  architecture: 'x86_64',
  kvmModule: 'kvm_intel',
  virtualised: false,
  hypervisor: null,
  online: '0-3',
  pinnedCpu: 0,
  allowed: '0-3',
  governor: null,
  frequencyDriver: null,
  clockSource: 'tsc',
  mitigations: null,
  kvfio: '0.1.0',
};

const alone = (wbinvd: number, changed: Partial<ProbeEvidence> = {}): ProbeEvidence => ({
  machine: BARE,
  coherency: 'coherent',
  paired: false,
  series: [around('wbinvd', 'alone', wbinvd), around('cpuid', 'alone', 1100)],
  difference: null,
  operations: 1000,
  exits: 1012,
  ...changed,
});

const paired = (attached: number, changed: Partial<ProbeEvidence> = {}): ProbeEvidence => {
  const [before, during] = [around('wbinvd', 'coherent', 1000), around('wbinvd', 'attached', attached)];
  return {
    ...alone(1000),
    paired: true,
    coherency: 'non-coherent',
    series: [before, during],
    difference: seriesDifference(before, during, CLOCK),
    ...changed,
  };
};

describe('the verdict about WBINVD', () => {
  const answers = (evidence: ProbeEvidence): [string, string] => {
    const {wbinvd, reasons} = verdictOf(evidence);
    return [wbinvd, reasons.join('; ')];
  };

  it('is skipped for a VM without groups, where it takes about as long as another exit', () => {
    const [wbinvd, why] = answers(alone(1000));
    assert.equal(wbinvd, 'skipped');
    assert.match(why, /by KVM's rule it is skipped.*0\.91 times as long as CPUID/);
  });

  it('is open without another exit to compare with, whatever the rule says', () => {
    const [wbinvd, why] = answers(alone(1000, {series: [around('wbinvd', 'alone', 1000)]}));
    assert.equal(wbinvd, 'cannot-tell');
    assert.match(why, /--operation cpuid it could be compared/);
  });

  it('is open when no difference was found because there are few samples', () => {
    const few = (phase: Phase, ticks: number[]): SeriesDocument =>
      seriesDocument({operation: 'wbinvd', phase, ticks: Float64Array.from(ticks)}, CLOCK);
    const before = few('coherent', [2000, 2010, 2020, 2030, 2040, 2050, 2060, 2070, 2080, 2090, 2100, 2110]);
    const during = few('attached', [1900, 1910, 1920, 1930, 1940, 1950, 90e3, 95e3, 97e3, 98e3, 99e3, 99e3]);
    const difference = seriesDifference(before, during, CLOCK);
    assert.equal(difference?.different, false);
    for (const coherency of ['coherent', 'unknown'] as const) {
      const [wbinvd, why] = answers(paired(1000, {coherency, series: [before, during], difference}));
      assert.equal(wbinvd, 'cannot-tell');
      assert.match(why, /may take up to \d+\.\d\d times as long with the groups/);
    }
  });

  it('is open when it takes longer than an exit can explain', () => {
    const [wbinvd, why] = answers(alone(900_000));
    assert.equal(wbinvd, 'cannot-tell');
    assert.match(why, /818\.18 times as long as CPUID/);
  });

  it('is executed when the groups make it take several times as long', () => {
    const [wbinvd, why] = answers(paired(800_000));
    assert.equal(wbinvd, 'executed');
    assert.match(why, /800\.00 times as long.*by KVM's rule it is executed/);
  });

  it('is skipped when coherent groups change nothing', () => {
    assert.equal(answers(paired(1000, {coherency: 'coherent'}))[0], 'skipped');
  });

  it('is open when the time contradicts the rule, or lies between', () => {
    assert.match(answers(paired(1000))[1], /as long with the groups as without.*rule it is executed/);
    assert.match(answers(paired(800_000, {coherency: 'coherent'}))[1], /rule it is skipped/);
    assert.match(answers(paired(1500))[1], /more than chance and less than a flush/);
    for (const evidence of [paired(1000), paired(800_000, {coherency: 'coherent'}), paired(1500)])
      assert.equal(answers(evidence)[0], 'cannot-tell');
  });

  it('is open under a hypervisor, on an emulated processor, and where KVM emulates instructions', () => {
    const obstacles: [Partial<ProbeEvidence>, RegExp][] = [
      [{machine: {...BARE, virtualised: true, hypervisor: 'KVM'}}, /this host is itself a VM \(KVM\)/],
      [{machine: {...BARE, virtualised: true}}, /this host is itself a VM:/],
      [{machine: {...BARE, virtualised: null}}, /is not known/],
      [
        {machine: {...BARE, virtualised: true, cpu: 'QEMU TCG CPU version 2.5+'}},
        /emulated \(QEMU TCG\) and has no caches/,
      ],
      [
        {machine: {...BARE, kvmModule: 'kvm_pvm'}, exits: 20},
        /left the guest 20 times for 1000 operations: its back end \(kvm_pvm\) emulates/,
      ],
    ];
    for (const [changed, expected] of obstacles) {
      for (const evidence of [alone(1000, changed), paired(800_000, changed)]) {
        const [wbinvd, why] = answers(evidence);
        assert.equal(wbinvd, 'cannot-tell');
        assert.match(why, expected);
        assert.match(why, /by KVM's rule/);
      }
    }
  });

  it('is open when no WBINVD was measured with the groups', () => {
    assert.deepEqual(answers(paired(1000, {series: [around('wbinvd', 'coherent', 1000)]})), [
      'cannot-tell',
      'no WBINVD was measured with the groups',
    ]);
  });
});
