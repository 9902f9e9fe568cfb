import type {GroupsDocument, ListedDevice} from '../../src/groups/groups-document.js';

/** What both `kvfio groups --json` and `lspci -Dvmmnnk` say of a PCI device, in lspci's spelling. */
export type LspciRecord = Record<(typeof FIELDS)[number], string | undefined>;

const FIELDS = ['Slot', 'Class', 'Vendor', 'Device', 'Driver', 'IOMMUGroup', 'NUMANode'] as const;

/** Every PCI device of the document, by address. */
export const comparable = (document: GroupsDocument): LspciRecord[] =>
  [
    ...document.groups.flatMap((group) => group.devices.map((device) => record(device, group.id))),
    ...document.ungrouped.map((device) => record(device, undefined)),
  ]
    .filter((each) => each !== null)
    .sort(bySlot);

/** The blocks of lspci's output, by address. */
export const parseLspci = (text: string): LspciRecord[] =>
  text
    .split('\n\n')
    .filter(Boolean)
    .map((block) => {
      const fields = new Map(block.split('\n').map((line) => line.split(':\t') as [string, string]));
      return Object.fromEntries(FIELDS.map((name) => [name, fields.get(name)])) as LspciRecord;
    })
    .sort(bySlot);

const record = (device: ListedDevice, group: number | undefined): LspciRecord | null =>
  device.bus !== 'pci'
    ? null
    : {
        Slot: device.address,
        Class: `${device.class ?? 'Class'} [${device.classCode?.slice(0, 4) ?? ''}]`,
        Vendor: `${device.vendor ?? 'Vendor'} [${device.vendorId ?? ''}]`,
        Device: `${device.device ?? 'Device'} [${device.deviceId ?? ''}]`,
        Driver: device.driver ?? undefined,
        IOMMUGroup: group?.toString(),
        NUMANode: device.numaNode?.toString(),
      };

const bySlot = (a: LspciRecord, b: LspciRecord): number => ((a.Slot ?? '') < (b.Slot ?? '') ? -1 : 1);
