import assert from 'node:assert/strict';
import fc from 'fast-check';
import {machineDifference, isNone} from '../../src/diff/difference.js';
import {kindKey} from '../../src/diff/kind-key.js';
import type {ComparedDevice, ComparedMachine} from '../../src/diff/machine.js';
import {compared} from './machines.js';
import {mirrored, sortedDifference} from './mirror.js';

/** A device, and the slot that it is in. */
interface Seat {
  slot: number;
  fn: number;
  model: number;
  serial: string | null;
  group: number | null;
  driver: string | null;
  snoop: ComparedDevice['snoop'];
}

const EMPTY = compared({});

/** `shift` is how many buses come before those of the slots. */
const machineOf = (seats: readonly Seat[], shift = 0): ComparedMachine => {
  const devices = [...seats]
    .sort((a, b) => a.slot - b.slot || a.fn - b.fn)
    .map((seat): ComparedDevice => {
      const address = `0000:${hex(seat.slot + shift)}:00.${seat.fn}`;
      return {
        address,
        bus: 'pci',
        path: `/sys/devices/pci0000:00/0000:00:${hex(seat.slot)}.0/${address}`,
        place: `pci0000:00/${hex(seat.slot)}.0/00.${seat.fn}`,
        ids: `8086:000${seat.model} 8086:0000`,
        name: null,
        serial: seat.serial === null ? null : {kind: 'dsn', value: seat.serial},
        group: seat.group,
        driver: seat.driver,
        iommu: null,
        snoop: seat.snoop,
        assignable: 'no',
        afterBind: 'yes',
      };
    });
  const numbers = [...new Set(devices.flatMap(({group}) => group ?? []))].sort((a, b) => a - b);
  const groups = numbers.map((group) => ({
    group,
    devices: devices.filter((device) => device.group === group),
    snoop: 'enforced' as const,
    assignable: 'no' as const,
    afterBind: 'yes' as const,
  }));
  return {...EMPTY, groups, devices};
};

const hex = (value: number): string => value.toString(16).padStart(2, '0');

const seats = (serial: fc.Arbitrary<string | null>): fc.Arbitrary<Seat[]> =>
  fc.uniqueArray(
    fc.record({
      slot: fc.nat(6),
      fn: fc.nat(1),
      model: fc.nat(2),
      serial,
      group: fc.option(fc.nat(4)),
      driver: fc.option(fc.constantFrom('e1000e', 'vfio-pci')),
      snoop: fc.constantFrom<ComparedDevice['snoop'][]>('enforced', 'not-enforced'),
    }),
    {selector: ({slot, fn}) => `${slot}.${fn}`, maxLength: 10},
  );

const anySerial = fc.option(fc.constantFrom('a', 'b', 'c', 'd'));
const anySeats = seats(anySerial);
const withoutSerials = seats(fc.constant(null));

describe('finding the devices of one machine in another', () => {
  it('finds that a machine differs from itself in nothing', () => {
    fc.assert(
      fc.property(anySeats, (some) => {
        assert.ok(isNone(machineDifference(machineOf(some), machineOf(some))));
      }),
    );
  });

  it('finds the mirror image when the machines change places', () => {
    fc.assert(
      fc.property(anySeats, anySeats, fc.nat(2), (some, others, shift) => {
        const [a, b] = [machineOf(some), machineOf(others, shift)];
        assert.deepEqual(
          sortedDifference(machineDifference(b, a)),
          sortedDifference(mirrored(machineDifference(a, b))),
        );
      }),
      {numRuns: 500},
    );
  });

  it('finds each device in one other at most, and leaves none out', () => {
    fc.assert(
      fc.property(anySeats, anySeats, (some, others) => {
        const [a, b] = [machineOf(some), machineOf(others, 1)];
        // all have other addresses, so each is told of
        const {devices} = machineDifference(a, b);
        for (const [side, machine] of [
          ['a', a],
          ['b', b],
        ] as const) {
          const told = devices.flatMap((device) => device[side]?.address ?? []);
          assert.deepEqual(told.sort(), machine.devices.map(({address}) => address).sort());
        }
      }),
    );
  });

  it('finds only moves where cards have changed their slots, and the card that it was where serials show', () => {
    const cards = fc.array(fc.record({model: fc.nat(2), serial: fc.boolean()}), {minLength: 1, maxLength: 8});
    const shuffled = cards.chain((some) =>
      fc.tuple(fc.constant(some), fc.shuffledSubarray([...some.keys()], {minLength: some.length}), fc.nat(3)),
    );
    fc.assert(
      fc.property(shuffled, ([some, slots, shift]) => {
        const placed = (slotOf: (at: number) => number): Seat[] =>
          some.map(({model, serial}, at) => ({
            slot: slotOf(at),
            fn: 0,
            model,
            serial: serial ? `s${at}` : null,
            group: at,
            driver: `driver${model}`,
            snoop: 'enforced',
          }));
        const [a, b] = [
          machineOf(placed((at) => at)),
          machineOf(
            placed((at) => slots[at] ?? 0),
            shift,
          ),
        ];
        const {devices, kernel, units} = machineDifference(a, b);
        assert.deepEqual(
          devices.filter(({state}) => state !== 'moved' && state !== 'changed'),
          [],
        );
        assert.deepEqual([kernel.changes, units], [[], []]);
        for (const {state, a: before, b: after, changes} of devices) {
          assert.equal(before?.serial?.value, after?.serial?.value);
          // an identical card that has taken its place is of another group, and that is all that shows
          if (state === 'changed')
            assert.deepEqual(
              changes.map(({field}) => field),
              ['group'],
            );
        }
      }),
      {numRuns: 300},
    );
  });

  it('finds nothing for machines of one kind, and something for those of two', () => {
    fc.assert(
      fc.property(withoutSerials, withoutSerials, fc.nat(1), (some, others, shift) => {
        const [a, b] = [machineOf(some), machineOf(others, shift)];
        assert.equal(isNone(machineDifference(a, b)), kindKey(a) === kindKey(b));
      }),
    );
    fc.assert(
      fc.property(withoutSerials, (some) => {
        const [a, b] = [machineOf(some), machineOf([...some].reverse())];
        assert.equal(kindKey(a), kindKey(b));
      }),
    );
  });
});
