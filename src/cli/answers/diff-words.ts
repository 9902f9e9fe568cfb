import type {FactChange} from '../../diff/change.js';
import type {Counts} from '../../diff/difference.js';
import type {KernelDifference} from '../../diff/kernel.js';
import type {Origin} from '../../host/tree.js';

/** `driver e1000e -> vfio-pci`; `missing` stands for what is not there. */
export const changeWords = ({field, a, b}: FactChange, missing = 'none'): string =>
  `${FIELDS[field] ?? field} ${a ?? missing} -> ${b ?? missing}`;

/** What fields are called where their own names are no words. */
const FIELDS: Readonly<Record<string, string>> = {
  release: 'kernel',
  stable: 'stable number of the kernel',
  iommu: 'IOMMU unit',
  afterBind: 'assignable after bind',
};

/** What differs of two kernels, one text for each fact. */
export const kernelWords = ({changes, added, removed}: KernelDifference): string[] => {
  const isOther = changes.some(({field}) => field === 'release');
  // another kernel has another stable number, too
  const told = isOther ? changes.filter(({field}) => field !== 'stable') : changes;
  return told.map((change) => {
    if (change.field !== 'commandLine') return changeWords(change, 'unknown');
    if (change.a === null || change.b === null)
      return `command line: unknown in ${change.a === null ? 'A' : 'B'}`;
    const parts = [
      ...(added.length === 0 ? [] : [`${added.join(' ')} added`]),
      ...(removed.length === 0 ? [] : [`${removed.join(' ')} removed`]),
    ];
    return `command line: ${parts.length === 0 ? 'another order' : parts.join(', ')}`;
  });
};

/** `2 units`, `1 device moved`, one text for each number that is not 0. */
export const countWords = ({units, groups, devices}: Counts): string[] => [
  ...some(units, 'IOMMU unit'),
  ...some(groups, 'group'),
  ...(['moved', 'gone', 'new', 'changed'] as const).flatMap((state) =>
    some(devices[state], 'device').map((words) => `${words} ${state}`),
  ),
];

const some = (count: number, what: string): string[] =>
  count === 0 ? [] : [`${count} ${what}${count === 1 ? '' : 's'}`];

export const machineName = ({kind, path}: Origin): string => (kind === 'host' ? 'this host' : path);
