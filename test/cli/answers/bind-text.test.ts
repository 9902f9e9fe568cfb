import assert from 'node:assert/strict';
import {Chalk} from 'chalk';
import {bindLines} from '../../../src/cli/answers/bind-text.js';
import type {BoundGroup, UnbindDocument} from '../../../src/vfio/bind/bind-document.js';

const paint = new Chalk({level: 0});

const unbound = (group: Partial<BoundGroup>): string | undefined => {
  const document: UnbindDocument = {
    ...{schemaVersion: 1, command: 'unbind', recover: false, dryRun: false, changed: true, selected: []},
    ...{
      devices: [],
      overruled: [],
      refused: [],
      modules: [],
      steps: [{does: 'write', undo: null}],
      warnings: [],
    },
    groups: [
      {
        ...{group: 9, node: null, uid: null, viable: false, assignable: {verdict: 'no', obstacles: []}},
        blockers: [{address: '0000:01:00.0', driver: 'e1000e'}] as BoundGroup['blockers'],
        ...group,
      },
    ],
  };
  return bindLines(document, paint)[0];
};

describe('the answer to unbind', () => {
  it('says of a group that the host has it again, which is no failure', () => {
    assert.equal(unbound({}), 'group 9: with the host: 0000:01:00.0 (e1000e)');
  });

  it('says of a group without drivers of the host that VFIO would take it', () => {
    assert.equal(unbound({viable: true, blockers: []}), 'group 9: viable');
  });
});
