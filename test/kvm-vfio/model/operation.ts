import fc from 'fast-check';

/** Kinds of open files that a test has. */
export const KINDS = ['vm', 'kvm-vfio', 'group', 'cdev', 'container', 'null'] as const;
export type Kind = (typeof KINDS)[number];

/** One of the descriptors of a kind that are open, counted modulo their number; `closed` is a number that is not open. */
export interface Ref {
  kind: Kind | 'closed';
  pick: number;
}

/** What can be done, to whatever is there at the time. `pick` counts as in {@link Ref}. */
export type Operation =
  | {do: 'create VM' | 'open container' | 'open null' | 'rescan'}
  | {do: 'create device' | 'test device'; vm: number}
  | {do: 'has attribute'; device: number; group: number; attr: number}
  | {do: 'set nothing'; device: number; how: Nothing}
  | {do: 'add' | 'delete'; device: number; file: Ref}
  | {do: 'close' | 'duplicate'; file: Ref}
  | {do: 'open group'; group: number}
  | {do: 'open cdev' | 'unplug' | 'plug' | 'remove'; pci: number}
  | {do: 'set container'; group: number; container: number}
  | {do: 'set IOMMU'; container: number}
  | {do: 'unset container'; group: number};

/** Ways to ask the device for what it has not. */
export const NOTHINGS = [
  'unknown group',
  'unknown attribute',
  'no payload',
  'descriptor as address',
  'get',
  'run',
] as const;
export type Nothing = (typeof NOTHINGS)[number];

const pick = fc.nat(5);
const refOf = (...weights: [Ref['kind'], number][]): fc.Arbitrary<Ref> =>
  fc.oneof(
    ...weights.map(([kind, weight]) => ({weight, arbitrary: fc.record({kind: fc.constant(kind), pick})})),
  );
const known = (does: Operation['do'], rest: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<Operation> =>
  fc.record({do: fc.constant(does), ...rest}) as unknown as fc.Arbitrary<Operation>;

const withoutVfio: [number, fc.Arbitrary<Operation>][] = [
  [10, known('create VM', {})],
  [6, known('create device', {vm: pick})],
  [1, known('test device', {vm: pick})],
  [3, known('has attribute', {device: pick, group: fc.nat(3), attr: fc.nat(4)})],
  [2, known('set nothing', {device: pick, how: fc.constantFrom(...NOTHINGS)})],
  [1, known('open null', {})],
];

/** Operations on a machine with VFIO, or of those the ones that need none. */
export const operations = (vfio: boolean): fc.Arbitrary<Operation> => {
  const strangers: [Ref['kind'], number][] = [
    ['vm', 1],
    ['kvm-vfio', 1],
    ['null', 3],
    ['closed', 2],
  ];
  const files = vfio
    ? refOf(['group', 18], ['cdev', 8], ['container', 1], ...strangers)
    : refOf(...strangers);
  const descriptors = vfio
    ? refOf(['group', 8], ['cdev', 5], ['container', 2], ['vm', 1], ['kvm-vfio', 3], ['null', 1])
    : refOf(['vm', 2], ['kvm-vfio', 4], ['null', 2]);
  const onFiles: [number, fc.Arbitrary<Operation>][] = [
    [vfio ? 26 : 8, known('add', {device: pick, file: files})],
    [vfio ? 16 : 8, known('delete', {device: pick, file: files})],
    [10, known('close', {file: descriptors})],
    [4, known('duplicate', {file: descriptors})],
  ];
  const onVfio: [number, fc.Arbitrary<Operation>][] = [
    [12, known('open group', {group: pick})],
    [5, known('open cdev', {pci: pick})],
    [2, known('open container', {})],
    [5, known('set container', {group: pick, container: pick})],
    [4, known('set IOMMU', {container: pick})],
    [2, known('unset container', {group: pick})],
    [2, known('unplug', {pci: pick})],
    [2, known('plug', {pci: pick})],
    [0.25, known('remove', {pci: pick})],
    [0.75, known('rescan', {})],
  ];
  return fc.oneof(
    ...[...withoutVfio, ...onFiles, ...(vfio ? onVfio : [])].map(([weight, arbitrary]) => ({
      weight: weight * 4,
      arbitrary,
    })),
  );
};
