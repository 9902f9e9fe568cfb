import assert from 'node:assert/strict';
import {Chalk} from 'chalk';
import {changeLines, coherencyText} from '../../../src/cli/answers/change-text.js';
import {statusLines, unexpectedLine} from '../../../src/cli/answers/status-text.js';
import type {ChangeDocument, FileIdentity} from '../../../src/kvm-vfio/change-document.js';
import type {StatusDocument, StatusFile} from '../../../src/kvm-vfio/status.js';

const paint = new Chalk({level: 0});
const coherency = {state: 'coherent', wbinvd: 'WBINVD is skipped'} as const;
const vm = {pid: 4711, command: 'qemu', fd: 13, socket: null};
const FILES: FileIdentity[] = [
  {kind: 'group', group: 12, cdev: null},
  {kind: 'cdev', group: 13, cdev: '0000:07:00.0'},
];

describe('files of VFIO', () => {
  it('are told by what they are in the answer to a change', () => {
    const files = FILES.map((file, index) => ({
      ...file,
      fd: 30 + index,
      outcome: 'added' as const,
      verdict: 'enforced' as const,
      confidence: 'exact' as const,
    }));
    const document: ChangeDocument = {
      ...{schemaVersion: 1, command: 'attach', dryRun: false, changed: true, vm, via: 'inject', files},
      ...{
        device: {fd: 29, state: 'found'},
        selected: [],
        steps: [],
        before: coherency,
        after: coherency,
        warnings: [],
      },
    };
    assert.deepEqual(changeLines(document, paint).slice(2, 4), [
      'group 12: added, snoop control enforced, descriptor 30 of the owner',
      'cdev 0000:07:00.0 of group 13: added, snoop control enforced, descriptor 31 of the owner',
    ]);
  });

  it('steer no terminal by their names, in a step or in what undoes it', () => {
    const document: ChangeDocument = {
      ...{schemaVersion: 1, command: 'attach', dryRun: true, changed: null, vm, via: 'inject', files: []},
      ...{device: {fd: 29, state: 'found'}, selected: [], before: coherency, after: coherency, warnings: []},
      steps: [{does: 'add cdev \u001b[2J', undo: 'delete cdev \u001b[2J'}],
    };
    assert.equal(changeLines(document, paint)[2], '1. add cdev \\x1b[2J (undone by: delete cdev \\x1b[2J)');
  });

  it('are told by what they are in the status, a group with its devices', () => {
    const files: StatusFile[] = FILES.map((file, index) => ({
      ...file,
      ...{fd: 30 + index, registered: index === 0, given: index === 1, devices: ['0000:07:00.0']},
      ...{verdict: 'enforced', confidence: 'exact', verdictOfAll: 'enforced'},
      ...{gone: false, decided: null, changedSince: null},
    }));
    const document: StatusDocument = {
      ...{schemaVersion: 1, vm, via: 'inject', device: {fd: 29, all: [29]}, files, verified: true},
      ...{coherency, expected: null, asExpected: null, warnings: []},
    };
    assert.deepEqual(statusLines(document, paint).slice(2, 4), [
      'group 12: registered, snoop control enforced, descriptor 30, 0000:07:00.0',
      'cdev 0000:07:00.0 of group 13: not registered, snoop control enforced, descriptor 31, handed over by kvfio',
    ]);
  });
});

describe('a group that was not added', () => {
  it('has no verdict in the answer to detach', () => {
    const absent = {fd: null, outcome: 'absent', verdict: 'enforced', confidence: 'exact'} as const;
    const document: ChangeDocument = {
      ...{schemaVersion: 1, command: 'detach', dryRun: false, changed: false, vm, via: 'inject'},
      files: [{kind: 'group', group: 12, cdev: null, ...absent}],
      ...{
        device: {fd: 29, state: 'found'},
        selected: [],
        steps: [],
        before: coherency,
        after: coherency,
        warnings: [],
      },
    };
    assert.equal(changeLines(document, paint)[2], 'group 12: was not added');
  });
});

describe('a change of nothing', () => {
  it('is said to be nothing to do', () => {
    const document: ChangeDocument = {
      ...{schemaVersion: 1, command: 'attach', dryRun: false, changed: false, vm, via: 'inject', files: []},
      ...{
        device: {fd: 29, state: 'found'},
        selected: [],
        steps: [],
        before: coherency,
        after: coherency,
        warnings: [],
      },
    };
    assert.equal(changeLines(document, paint).at(-1), 'nothing to do');
    assert.notEqual(changeLines({...document, changed: true}, paint).at(-1), 'nothing to do');
  });
});

describe('the coherency of a VM', () => {
  it('has in sentences the word that it has in JSON', () => {
    for (const state of ['coherent', 'non-coherent', 'unknown'] as const)
      assert.equal(
        coherencyText({state, wbinvd: 'WBINVD is executed'}, paint),
        `${state}: WBINVD is executed`,
      );
  });
});

describe('a change after which the state of the VM is unknown', () => {
  it('names the command that asks KVM', () => {
    const unknown = {state: 'unknown', wbinvd: 'whether WBINVD is executed or skipped is unknown'} as const;
    const document: ChangeDocument = {
      ...{schemaVersion: 1, command: 'detach', dryRun: false, changed: true, vm, via: 'inject', files: []},
      ...{
        device: {fd: 29, state: 'found'},
        selected: [],
        steps: [],
        before: coherency,
        after: unknown,
        warnings: [],
      },
    };
    assert.match(changeLines(document, paint).at(-1) ?? '', /"kvfio status --pid 4711 --verify" asks KVM/);
    assert.doesNotMatch(changeLines({...document, after: coherency}, paint).join(''), /asks KVM/);
    assert.doesNotMatch(changeLines({...document, dryRun: true}, paint).join(''), /asks KVM/);
  });
});

describe('a VM that is not as --expect asks', () => {
  const of = (asExpected: boolean | null, state: 'coherent' | 'non-coherent' | 'unknown', verify: boolean) =>
    unexpectedLine(
      {
        ...{schemaVersion: 1, vm, via: 'inject', device: {fd: 29, all: [29]}, files: [], verified: verify},
        ...{coherency: {state, wbinvd: 'WBINVD is executed'}, expected: 'coherent', asExpected, warnings: []},
      },
      {verify},
    );

  it('is in the other state, or was not looked at, or the look decided nothing: three sentences', () => {
    assert.match(of(false, 'non-coherent', true), /^The VM is non-coherent, and --expect asks for coherent/);
    assert.match(of(null, 'unknown', false), /Add --verify/);
    assert.doesNotMatch(of(null, 'unknown', true), /--verify/);
  });
});
