import {fullName, modelName, productName} from '../../pci/name.js';
import type {ChalkInstance} from 'chalk';
import type {GroupsDocument, ListedDevice, ListedGroup} from '../../groups/groups-document.js';
import {compareAddresses} from '../../pci/address.js';
import {weaker, type Evidence, type Verdict} from '../../iommu/snoop-control.js';
import {outlookOf} from '../../vfio/eligibility/assignability.js';
import type {Column} from '../output/table.js';

/** One line of `kvfio groups`: a device and the group it is in, or an empty group. */
export interface GroupsRow {
  group: ListedGroup | null;
  device: ListedDevice | null;
}

/** The selected devices, group by group, then those in no group. */
export const groupsRows = (document: GroupsDocument): GroupsRow[] => {
  const rows: GroupsRow[] = [];
  for (const group of document.groups) {
    if (group.devices.length === 0) rows.push({group, device: null});
    for (const device of group.devices) if (device.matched) rows.push({group, device});
  }
  for (const device of document.ungrouped) rows.push({group: null, device});
  return rows;
};

/** What is printed without `--columns`. With a filter `members` is added, so that a hidden member of a group is in sight. */
export const USUAL_GROUPS_COLUMNS = ['group', 'address', 'name', 'driver', 'iommu', 'snoop', 'assignable'];

const verdictPaint = (text: string, verdict: Verdict | undefined, paint: ChalkInstance): string => {
  if (verdict === 'enforced') return paint.green(text);
  return verdict === 'not-enforced' ? paint.yellow(text) : paint.dim(text);
};

/** The device's verdict, and its group's where that differs. */
const snoop = ({group, device}: GroupsRow): string => {
  const [own, whole] = [device?.snoopControl.verdict, group?.snoopControl.verdict];
  if (own === undefined) return whole ?? '';
  return whole === undefined || whole === own ? own : `${own} (group: ${whole})`;
};

/** How sure the text of {@link snoop} is: where one verdict stands for both, as sure as the less sure of them. */
const confidence = ({group, device}: GroupsRow): string => {
  const [own, whole] = [device?.snoopControl, group?.snoopControl];
  if (own === undefined || whole === undefined || own.confidence === whole.confidence)
    return (own ?? whole)?.confidence ?? '';
  return own.verdict === whole.verdict
    ? weaker(own.confidence, whole.confidence)
    : `${own.confidence} (group: ${whole.confidence})`;
};

/** A fact in the short form of one table cell: `dmar0 ecap[7]=0`. */
const shortEvidence = ({unit, register, bit, statement}: Evidence, verdict: Verdict): string =>
  register !== null && bit !== null
    ? `${unit ?? ''} ${register}[${bit}]=${verdict === 'enforced' ? 1 : 0}`
    : statement;

const viable = ({group, device}: GroupsRow): string => {
  if (group === null) return '';
  if (group.viable) return 'yes';
  return group.blockers.some((blocker) => blocker.address === device?.address) ? 'blocks' : 'no';
};

const assignable = ({group, device}: GroupsRow): string => {
  const known = (device ?? group)?.assignable;
  return known === undefined ? 'unknown' : outlookOf(known);
};

/** Every column of `kvfio groups`. */
export const GROUPS_COLUMNS: readonly Column<GroupsRow>[] = [
  {
    name: 'group',
    text: ({group}) => String(group?.id ?? ''),
    compare: (a, b) => (a.group?.id ?? Infinity) - (b.group?.id ?? Infinity) || 0,
  },
  {name: 'members', text: ({group}) => (group === null ? '' : membersText(group))},
  {name: 'type', needs: 'details', text: ({group}) => group?.type ?? ''},
  {
    name: 'address',
    text: ({device}) => device?.address ?? '',
    compare: (a, b) => compareAddresses(a.device?.address ?? '', b.device?.address ?? ''),
  },
  {name: 'bus', text: ({device}) => device?.bus ?? ''},
  {name: 'class', text: ({device}) => device?.class ?? device?.classCode ?? '', flexible: true},
  {name: 'classcode', text: ({device}) => device?.classCode ?? ''},
  {
    name: 'id',
    text: ({device}) => (device?.vendorId == null ? '' : `${device.vendorId}:${device.deviceId ?? ''}`),
  },
  {
    name: 'subsystem',
    text: ({device}) =>
      device?.subsystemVendorId == null
        ? ''
        : `${device.subsystemVendorId}:${device.subsystemDeviceId ?? ''}`,
  },
  {
    name: 'name',
    text: ({device}) => (device === null ? '' : deviceName(device)),
    flexible: true,
    // which of two controllers it is tells the model
    shorter: ({device}) => (device === null ? [] : shorterNames(device)),
  },
  {name: 'vendor', text: ({device}) => device?.vendor ?? device?.vendorId ?? '', flexible: true},
  {name: 'device', text: ({device}) => device?.device ?? device?.deviceId ?? '', flexible: true},
  {name: 'driver', text: ({device}) => device?.driver ?? ''},
  {name: 'override', needs: 'details', text: ({device}) => device?.driverOverride ?? ''},
  {name: 'iommu', text: ({device}) => device?.iommu ?? ''},
  {
    name: 'snoop',
    text: snoop,
    paint: (text, {group, device}, paint) =>
      verdictPaint(text, group?.snoopControl.verdict ?? device?.snoopControl.verdict, paint),
  },
  {name: 'confidence', text: confidence},
  {
    name: 'evidence',
    text: ({device, group}) =>
      (device ?? group)?.snoopControl.evidence
        .map((fact) => shortEvidence(fact, (device ?? group)?.snoopControl.verdict ?? 'unknown'))
        .join('; ') ?? '',
    flexible: true,
  },
  {
    name: 'nosnoop',
    needs: 'noSnoop',
    text: ({device}) =>
      device === null
        ? ''
        : {enabled: 'on', disabled: 'off', unknown: 'unknown', 'not-applicable': 'n/a'}[device.noSnoop],
  },
  {
    name: 'viable',
    text: viable,
    paint: (text, _row, paint) => (text === 'blocks' ? paint.red(text) : text),
  },
  {
    name: 'assignable',
    needs: 'assignable',
    text: assignable,
    paint: (text, _row, paint) =>
      text === 'yes' ? paint.green(text) : text === 'no' ? paint.red(text) : text,
  },
  {
    name: 'obstacles',
    needs: 'obstacles',
    flexible: true,
    text: ({device, group}) =>
      (device?.assignable.checks ?? group?.assignable.obstacles.map(({check}) => check) ?? []).join(' '),
  },
  {
    name: 'numa',
    needs: 'details',
    text: ({device}) => (device?.numaNode == null ? '' : String(device.numaNode)),
  },
  {
    name: 'reset',
    needs: 'details',
    flexible: true,
    text: ({device}) => device?.resetMethods?.join(' ') ?? '',
  },
  {
    name: 'place',
    text: ({group}) => String(group?.rank?.place ?? ''),
    compare: (a, b) => (a.group?.rank?.place ?? Infinity) - (b.group?.rank?.place ?? Infinity) || 0,
  },
];

/** How many devices the group has, and how many of them a filter leaves out: `3 (2 hidden)`. */
const membersText = ({devices}: ListedGroup): string => {
  const hidden = devices.filter(({matched}) => !matched).length;
  return hidden === 0 ? String(devices.length) : `${devices.length} (${hidden} hidden)`;
};

const shorterNames = (device: ListedDevice): string[] =>
  [productName(device), modelName(device)].filter((name) => name !== null);

/** What lspci calls it, and of another bus what comes nearest to a name. */
const deviceName = (device: ListedDevice): string => fullName(device) ?? device.device ?? device.bus ?? '';
