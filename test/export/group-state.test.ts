import assert from 'node:assert/strict';
import {GROUP_STATES, stateOf} from '../../src/export/group-state.js';
import type {Holders} from '../../src/export/reading.js';
import {groupsDocument, type GroupsDocument} from '../../src/groups/groups-document.js';
import {rankingOf} from '../../src/groups/ranking/ranking-of.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {readHost} from '../../src/iommu/host.js';
import {examine} from '../../src/vfio/eligibility/examined.js';
import {machine, pci, port, type Machine} from '../support/machine.js';
import {oddMachines} from './machines.js';

const NOBODY: Holders = {byGroup: new Map(), hidden: 0};

const stated = (
  verdict: 'yes' | 'no' | 'unknown',
  afterBind: typeof verdict,
  coherent: 'enforced' | 'not-enforced' | 'unknown' = 'enforced',
): string => {
  const control = {verdict: coherent, confidence: 'exact' as const, evidence: []};
  return stateOf(
    {
      group: 1,
      assignable: {verdict, afterBind, obstacles: []},
      snoopControl: {...control, boundMembers: control, allMembers: control},
    },
    NOBODY,
  );
};

/** Of which kvfio cannot tell whether a VM could have it after the binding: nothing shows whether interrupts are isolated. */
const undecided = (): Machine =>
  machine({
    interrupts: null,
    units: {odd: {files: {}}},
    groups: {
      1: [pci('0000:01:00.0', {unit: 'odd', driver: 'e1000e'})],
      2: [port('0000:02:00.0', {unit: 'odd'})],
      3: [pci('0000:03:00.0', {unit: 'odd', driver: 'vfio-pci', vfio: ['vfio0']})],
    },
  });

const ranked = ({root}: Machine): GroupsDocument => {
  const tree = new DirectoryTree(root);
  const host = readHost(tree, {regions: true});
  return groupsDocument(host, null, {
    explain: false,
    regions: false,
    examined: examine(tree, host),
    ranking: rankingOf(tree, host, {}),
  });
};

describe('the state of a group', () => {
  it('is unassignable only where it is known that no VM can have it after the binding either', () => {
    assert.equal(stated('no', 'no'), 'unassignable');
    assert.equal(stated('no', 'yes'), 'bindable');
    assert.equal(stated('no', 'unknown'), 'unknown');
    assert.equal(stated('unknown', 'yes'), 'unknown');
    assert.equal(stated('yes', 'yes'), 'ready');
    assert.equal(stated('yes', 'yes', 'not-enforced'), 'non-coherent');
  });

  it('says of whether a VM can have it the same as the ranking', () => {
    const seen = new Set<string>();
    for (const [name, built] of [...oddMachines(), ['undecided', undecided()] as const]) {
      using each = built;
      for (const group of ranked(each).groups) {
        if (group.rank?.reasons[0]?.reason === 'it has nothing for a VM') continue;
        const state = stateOf(group, NOBODY);
        const value = group.rank?.reasons[0]?.value;
        assert.ok(GROUP_STATES.includes(state));
        seen.add(`${group.assignable.verdict} ${group.assignable.afterBind}`);
        const said = {yes: ['ready', 'non-coherent'], 'after bind': ['bindable'], no: ['unassignable']}[
          String(value)
        ] ?? ['unknown'];
        assert.ok(
          said.includes(state) || (value === 'yes' && group.snoopControl.verdict === 'unknown'),
          `group ${group.id} of ${name}: ${state}, but ranked as ${value}`,
        );
      }
    }
    for (const each of ['no yes', 'no no', 'no unknown', 'yes yes', 'unknown unknown'])
      assert.ok(seen.has(each), `${each} of ${[...seen].join(', ')}`);
  });
});
