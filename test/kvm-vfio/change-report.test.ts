import assert from 'node:assert/strict';
import type {Verdict} from '../../src/iommu/snoop-control.js';
import {reportDocument, type ChangeReport} from '../../src/kvm-vfio/change-report.js';
import type {FileOutcome, Outcome} from '../../src/kvm-vfio/apply.js';
import type {ChangeDocument} from '../../src/kvm-vfio/change-document.js';
import type {HeldFile} from '../../src/kvm-vfio/vm-state.js';
import {rulesOf} from '../../src/kvm-vfio/model/rules.js';
import {attachPlan, detachPlan} from '../../src/kvm-vfio/plan.js';
import {examinedGroup} from '../support/examined-group.js';
import {pci, REMAPPED} from '../support/machine.js';

/** A group that the owner has open, what is noted of it and what KVM would be told now. */
const held = (id: number, noted: Verdict | null, now: Verdict, registered: boolean | null = null): HeldFile =>
  ({
    name: `group ${id}`,
    node: {kind: 'group', group: id, path: `/dev/vfio/${id}`, device: id},
    fd: id,
    given: true,
    registered,
    gone: false,
    record: noted === null ? null : {verdict: noted, members: 1, fingerprint: 1n},
    verdict: now,
    confidence: 'exact',
    group: {id, devices: [], snoopControl: {verdict: now}},
  }) as unknown as HeldFile;

/** The answer of attaching or detaching the first of these, as KVM of this release answers it; null for a dry run. */
const answered = (
  command: 'attach' | 'detach',
  files: readonly [HeldFile, ...HeldFile[]],
  answer: FileOutcome | null,
  release = '7.3.0',
): ChangeDocument => {
  const [{name, node, fd, verdict}] = files;
  const target = {name, node, fd, given: false, container: 'none', verdict, confidence: 'exact'} as const;
  const situation = {device: 7, files: [target]};
  const outcome: Outcome | null =
    answer === null
      ? null
      : {
          device: 7,
          created: false,
          closed: false,
          changed: answer === 'added' || answer === 'deleted',
          files: new Map([[name, {fd, outcome: answer}]]),
        };
  return reportDocument({
    vm: {pid: 1, vmFd: 4, comm: 'qemu', way: 'inject', socket: null},
    change:
      command === 'attach'
        ? {command, files: [], container: undefined, create: 'if-missing'}
        : {command, files: [], closeDevice: false},
    facts: {
      devices: [7],
      device: 7,
      ambiguous: false,
      several: false,
      held: files,
      host: {
        kernel: {release, coherencyRule: 'devices', architecture: 'x86_64'},
        warnings: [],
        groups: files.map(({group}) => group),
      },
      nodes: [],
      cpu: 'intel',
    },
    targets: [target],
    plan: command === 'attach' ? attachPlan(situation) : detachPlan(situation, false),
    outcome,
  } as unknown as ChangeReport);
};

const states = ({before, after}: ChangeDocument): string[] => [before.state, after.state];
const doubts = ({warnings}: ChangeDocument): string[] =>
  warnings.filter(({code}) => code === 'NOTE_IN_DOUBT').map(({message}) => message);

describe('what is said of a change', () => {
  it('is open where the note and what KVM would be told differ, and KVM did not look again', () => {
    const again = answered('attach', [held(12, 'enforced', 'not-enforced')], 'already');
    assert.deepEqual(states(again), ['unknown', 'unknown']);
    assert.match(doubts(again)[0] ?? '', /judged group 12 enforced .* would judge it not-enforced now/);
    const same = answered('attach', [held(12, 'not-enforced', 'not-enforced')], 'already');
    assert.deepEqual([states(same), doubts(same)], [['non-coherent', 'non-coherent'], []]);
  });

  it('is what KVM sees when it looked again', () => {
    const added = answered('attach', [held(12, 'enforced', 'not-enforced')], 'added');
    assert.deepEqual([states(added), doubts(added)], [['coherent', 'non-coherent'], []]);
  });

  it('is never predicted otherwise than it turns out, whichever way KVM answers', () => {
    for (const command of ['attach', 'detach'] as const)
      for (const release of ['6.12.0', '6.19.0', '7.3.0'])
        for (const noted of ['enforced', 'not-enforced', null] as const)
          for (const now of ['enforced', 'not-enforced'] as const) {
            const files = [held(12, null, 'enforced'), held(13, noted, now, true)] as const;
            const predicted = answered(command, files, null, release).after.state;
            for (const answer of command === 'attach'
              ? (['added', 'already'] as const)
              : (['deleted', 'absent'] as const)) {
              const {state} = answered(command, files, answer, release).after;
              const about = JSON.stringify({command, release, noted, now, answer, predicted, state});
              assert.ok(predicted === 'unknown' || predicted === state, about);
            }
          }
  });

  it('takes into account that a refused DEL has older kernels look again', () => {
    const files = [held(13, null, 'enforced'), held(12, 'enforced', 'not-enforced', true)] as const;
    const after = (release: string): string => answered('detach', files, 'absent', release).after.state;
    assert.deepEqual(['6.1.0-56-amd64', '6.18.15', '6.19.0', '7.2.1', '7.3.0', ''].map(after), [
      'non-coherent',
      'non-coherent',
      'unknown',
      'unknown',
      'unknown',
      'unknown',
    ]);
    assert.deepEqual(
      ['6.12.9', '6.18.15', '6.19.0', '7.1.9', '7.2.12', null].map(
        (release) => rulesOf({release, stable: null, coherencyRule: 'devices'}).refusedDeleteLooks,
      ),
      [true, true, null, null, false, null],
    );
  });

  it('is coherent of a group whose devices have all left, once KVM looked again', () => {
    const dead = {...held(12, null, 'enforced', true), gone: true, group: null};
    const other = held(13, null, 'enforced', true);
    assert.deepEqual(states(answered('detach', [other, dead], 'deleted')), ['unknown', 'coherent']);
    assert.deepEqual(states(answered('attach', [other, dead], 'already')), ['unknown', 'unknown']);
  });

  it('is certain in a dry run where KVM has to look', () => {
    const files = [held(12, 'enforced', 'not-enforced', false)] as const;
    assert.deepEqual(states(answered('attach', files, null)), ['coherent', 'non-coherent']);
  });
});

describe('attaching a group that a VMM may not get in the end', () => {
  const warnings = (interrupts: string | null): string[] => {
    using machine = examinedGroup(
      7,
      [pci('0000:01:00.0', {unit: 'dmar0', driver: 'vfio-pci', vfio: ['vfio0']})],
      {
        interrupts,
      },
    );
    const node = {kind: 'group', group: 7, path: '/dev/vfio/7', device: 7} as const;
    const target = {
      name: 'group 7',
      node,
      fd: null,
      given: true,
      container: 'none',
      verdict: 'enforced',
      confidence: 'exact',
    } as const;
    return reportDocument({
      vm: {pid: 1, vmFd: 4, comm: 'vmm', way: 'agent', socket: null},
      change: {command: 'attach', files: [], container: undefined, create: 'if-missing'},
      facts: {
        devices: [9],
        device: 9,
        ambiguous: false,
        several: false,
        held: [],
        host: {
          kernel: {release: '7.3.0', coherencyRule: 'devices', architecture: 'x86_64'},
          warnings: [],
          groups: [machine.group],
        },
        examined: machine.examined,
        nodes: [],
        cpu: null,
      },
      targets: [target],
      plan: attachPlan({device: 9, files: [target]}),
      outcome: null,
    } as unknown as ChangeReport).warnings.map(({code, message}) => `${code}: ${message}`);
  };

  it('warns of what cannot be told, and of nothing where all can', () => {
    assert.deepEqual(warnings(REMAPPED), []);
    assert.match(
      warnings(null).join('\n'),
      /^NOT_ASSIGNABLE: group 7 may be of no use to a VM: kvfio cannot see whether the interrupts/,
    );
  });
});
