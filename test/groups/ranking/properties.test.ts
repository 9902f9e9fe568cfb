import assert from 'node:assert/strict';
import fc from 'fast-check';
import type {Candidate, RankQuestion} from '../../../src/groups/ranking/criteria.js';
import {rankGroups} from '../../../src/groups/ranking/rank-groups.js';
import type {Device} from '../../../src/iommu/device.js';
import {pci} from '../../support/machine.js';
import {read} from '../../support/read.js';

const [MODEL] = read({groups: {0: [pci('0000:00:01.0')]}}).groups.flatMap(({devices}) => devices);

interface Seat {
  bus: number;
  slot: number;
  fn: number;
  isBridge: boolean;
  numa: number | null;
  resets: string[] | null;
  display: boolean | null;
}

const seat: fc.Arbitrary<Seat> = fc.record({
  bus: fc.nat(2),
  slot: fc.nat(1),
  fn: fc.nat(2),
  isBridge: fc.boolean(),
  numa: fc.option(fc.nat(2)),
  resets: fc.option(fc.uniqueArray(fc.constantFrom('flr', 'pm', 'bus', 'acpi', 'odd'), {maxLength: 3})),
  display: fc.constantFrom(null, true, false),
});

const VERDICTS = ['yes', 'no', 'unknown'] as const;

const machineOf = (
  parts: readonly {
    seats: readonly Seat[];
    verdict: (typeof VERDICTS)[number];
    after: (typeof VERDICTS)[number];
  }[],
): {candidates: Candidate[]; question: RankQuestion} => {
  const displays = new Map<string, Seat['display']>();
  const candidates = parts.map(({seats, verdict, after}, id): Candidate => ({
    group: {
      id,
      devices: seats.map(({bus, slot, fn, isBridge, numa, resets, display}): Device => {
        assert.ok(MODEL);
        const address = `0000:0${bus}:0${slot}.${fn}`;
        const path = `/sys/devices/pci0000:00/0000:00:0${bus}.0/${address}`;
        displays.set(path, display);
        return {
          ...MODEL,
          address,
          path,
          classCode: isBridge ? '060400' : '020000',
          numaNode: numa,
          resetMethods: resets,
        };
      }),
    },
    assignable: {verdict, afterBind: after, obstacles: []},
  }));
  const devices = candidates.flatMap(({group}) => group.devices);
  return {
    candidates,
    question: {
      numa: 0,
      nodes: {online: [0, 1, 2], distance: (from, to) => (from === to ? 10 : 10 * (from + to) + 11)},
      showsResets: true,
      warnings: () => [],
      onBusOf: ({path}) => devices.filter((each) => each.path.slice(0, -8) === path.slice(0, -8)),
      bootDisplay: ({path}) => ({is: displays.get(path) ?? null, by: 'is the boot display'}),
    },
  };
};

const someMachine = fc
  .array(
    fc.record({
      seats: fc.array(seat, {maxLength: 3}),
      verdict: fc.constantFrom(...VERDICTS),
      after: fc.constantFrom(...VERDICTS),
    }),
    {minLength: 1, maxLength: 8},
  )
  .map(machineOf);

describe('a ranking of groups', () => {
  it('gives each group one place, in whatever order they come', () => {
    fc.assert(
      fc.property(
        someMachine.chain((made) =>
          fc.record({
            made: fc.constant(made),
            shuffled: fc.shuffledSubarray(made.candidates, {minLength: made.candidates.length}),
          }),
        ),
        ({made: {candidates, question}, shuffled}) => {
          const ranked = rankGroups(candidates, question);
          assert.deepEqual(rankGroups(shuffled, question), ranked);
          assert.deepEqual(
            ranked.map(({rank: {place}}) => place),
            candidates.map((_, at) => at + 1),
          );
          assert.equal(new Set(ranked.map(({candidate: {group}}) => group.id)).size, candidates.length);
        },
      ),
    );
  });

  it('is total: two groups have the same order among others as alone', () => {
    fc.assert(
      fc.property(someMachine, ({candidates, question}) => {
        const order = rankGroups(candidates, question).map(({candidate}) => candidate);
        for (const [at, first] of order.entries())
          for (const second of order.slice(at + 1))
            assert.deepEqual(
              rankGroups([second, first], question).map(({candidate}) => candidate.group.id),
              [first.group.id, second.group.id],
            );
      }),
    );
  });

  it('names as decisive the first criterion by which a group differs from the next', () => {
    fc.assert(
      fc.property(someMachine, ({candidates, question}) => {
        const ranked = rankGroups(candidates, question);
        for (const [at, {rank}] of ranked.entries()) {
          const next = ranked[at + 1]?.rank;
          if (next === undefined) assert.equal(rank.decidedBy, null);
          else {
            const decisive = rank.reasons.findIndex(({criterion}) => criterion === rank.decidedBy);
            assert.deepEqual(
              rank.reasons.slice(0, decisive === -1 ? undefined : decisive).map(({value}) => value),
              next.reasons.slice(0, decisive === -1 ? undefined : decisive).map(({value}) => value),
            );
          }
        }
      }),
    );
  });
});
