import type {ChalkInstance} from 'chalk';
import type {ListedFile, ListedVm} from '../../kvm-vfio/vms.js';
import type {WatchedVm} from '../../kvm-vfio/watch-vms.js';
import type {Column} from '../output/table.js';

/** What is printed without `--columns`. */
export const USUAL_VMS_COLUMNS = [
  'pid',
  'name',
  'command',
  'user',
  'vcpus',
  'memory',
  'device',
  'groups',
  'cdevs',
  'coherency',
  'seccomp',
  'age',
];

const number = (value: number | null): string => (value === null ? 'unknown' : String(value));

/** Sorts what is not known behind everything else. */
const byNumber =
  (of: (vm: ListedVm) => number | null) =>
  (a: ListedVm, b: ListedVm): number =>
    (of(a) ?? Infinity) - (of(b) ?? Infinity) || 0;

const memoryOf = ({memory: {resident, hugetlb}}: ListedVm): number | null =>
  resident === null && hugetlb === null ? null : (resident ?? 0) + (hugetlb ?? 0);

/** Every column of `kvfio vms`. */
export const VMS_COLUMNS: readonly Column<ListedVm>[] = [
  {name: 'pid', text: ({pid}) => String(pid)},
  {name: 'fd', text: ({fd}) => String(fd)},
  {name: 'name', text: ({name}) => name ?? '', flexible: true},
  {name: 'vmm', text: ({vmm}) => vmm ?? ''},
  {name: 'command', text: ({command}) => command, flexible: true},
  {name: 'user', text: ({user, uid}) => user ?? number(uid)},
  {name: 'uid', text: ({uid}) => number(uid)},
  {name: 'vcpus', text: ({vcpus}) => number(vcpus), compare: byNumber(({vcpus}) => vcpus)},
  {name: 'memory', text: (vm) => sizeText(memoryOf(vm)), compare: byNumber(memoryOf)},
  {name: 'resident', text: ({memory}) => number(memory.resident)},
  {name: 'hugetlb', text: ({memory}) => number(memory.hugetlb)},
  {name: 'threads', text: ({threads}) => number(threads), compare: byNumber(({threads}) => threads)},
  {
    name: 'device',
    text: ({device: {fd, all}}) =>
      fd === null ? (all.length === 0 ? 'none' : `one of ${all.join(' ')}`) : String(fd),
  },
  {name: 'groups', text: ({groups}) => groups.map(({group}) => String(group)).join(',')},
  {name: 'cdevs', text: ({cdevs}) => cdevs.map(({name}) => name).join(','), flexible: true},
  {
    name: 'devices',
    flexible: true,
    text: (vm) =>
      filesOf(vm)
        .flatMap(({devices}) => devices)
        .join(','),
  },
  {
    name: 'coherency',
    text: ({coherency: {state}}) => state,
    paint: (text, {coherency: {state}}, paint: ChalkInstance) =>
      state === 'coherent' ? paint.green(text) : paint.yellow(text),
  },
  {name: 'wbinvd', text: ({coherency: {wbinvd}}) => wbinvd, flexible: true},
  {name: 'seccomp', text: ({seccomp}) => seccomp ?? 'unknown'},
  {name: 'age', text: ({age}) => ageText(age), compare: byNumber(({age}) => age)},
  {name: 'seconds', text: ({age}) => number(age)},
  {name: 'holders', text: ({holders}) => holders.join(','), flexible: true},
];

/** Columns that differ at nearly every look: whoever follows VMs sees them, and no line only because of them. */
const FLEETING: readonly string[] = ['memory', 'resident', 'hugetlb', 'threads', 'age', 'seconds'];

/** What of a VM makes a line of `--watch` when it changes. */
export const lastingText =
  (columns: readonly Column<ListedVm>[]) =>
  (vm: ListedVm): string =>
    columns
      .filter(({name}) => !FLEETING.includes(name))
      .map(({text}) => text(vm))
      .join('\0');

/** Columns of `appeared`. */
export const LONGEST_EVENT = 8;

/** The columns of `--watch`: what has become of a VM, and then its own. */
export const watchColumns = (columns: readonly Column<ListedVm>[]): Column<WatchedVm>[] => [
  {name: 'event', text: ({event}) => event},
  ...columns.map(({name, text, flexible, paint}): Column<WatchedVm> => ({
    name,
    text: ({vm}) => text(vm),
    ...(flexible !== undefined && {flexible}),
    ...(paint !== undefined && {paint: (cell, {vm}, colours) => paint(cell, vm, colours)}),
  })),
];

const filesOf = ({groups, cdevs}: ListedVm): ListedFile[] => [...groups, ...cdevs];

/** `512 MiB` as `512M`, with at most three digits. */
const sizeText = (bytes: number | null): string => {
  if (bytes === null) return 'unknown';
  const units = ['B', 'K', 'M', 'G', 'T', 'P'];
  let [value, unit] = [bytes, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value < 9.95 && unit > 0 ? value.toFixed(1) : Math.round(value)}${units[unit] ?? ''}`;
};

/** The two largest parts of a duration: `3d4h`, `12m5s`. */
const ageText = (seconds: number | null): string => {
  if (seconds === null) return 'unknown';
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ] as const;
  const first = parts.findIndex(([value]) => value > 0);
  return first === -1
    ? '0s'
    : parts
        .slice(first, first + 2)
        .map((part) => part.join(''))
        .join('');
};
