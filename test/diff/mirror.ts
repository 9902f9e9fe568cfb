import type {FactChange} from '../../src/diff/change.js';
import type {Difference} from '../../src/diff/difference.js';

/** What the difference is when A and B change places. */
export const mirrored = ({kernel, units, groups, devices}: Difference): Difference => ({
  kernel: {changes: kernel.changes.map(turned), added: kernel.removed, removed: kernel.added},
  units: units.map((unit) => ({
    ...turned(unit),
    state: STATES[unit.state],
    changes: unit.changes.map(turned),
  })),
  groups: groups.map((group) => ({
    ...turned(group),
    state: STATES[group.state],
    lost: group.gained,
    gained: group.lost,
    changes: group.changes.map(turned),
  })),
  devices: devices.map((device) => ({
    ...turned(device),
    state: STATES[device.state],
    changes: device.changes.map(turned),
  })),
});

/** The lists in an order that does not depend on which machine is A, without the kind of units, which is that of B. */
export const sortedDifference = ({kernel, units, groups, devices}: Difference): unknown => ({
  kernel,
  units: sorted(units.map(({state, a, b, changes}) => ({state, a, b, changes: sorted(changes)}))),
  groups: sorted(groups),
  devices: sorted(devices),
});

const STATES = {gone: 'new', new: 'gone', moved: 'moved', changed: 'changed'} as const;

const turned = <T extends Pick<FactChange, never> & {a: unknown; b: unknown}>(item: T): T => ({
  ...item,
  a: item.b,
  b: item.a,
});

const sorted = <T>(items: readonly T[]): T[] =>
  [...items].sort((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1));
