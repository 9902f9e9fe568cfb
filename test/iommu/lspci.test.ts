import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import Groups from '../../src/commands/groups.js';
import type {GroupsDocument, ListedDevice} from '../../src/iommu/groups-document.js';
import {MACHINES} from '../fixtures/machines.js';
import {machine, type Machine} from '../support/machine.js';
import {run} from '../support/run.js';
import {skip} from '../support/skip.js';

describe('kvfio groups beside lspci', () => {
  before(function () {
    if (spawnSync('lspci', ['--version']).error !== undefined)
      skip(this, 'lspci is not installed (package pciutils)');
  });

  for (const [name, spec] of Object.entries(MACHINES)) {
    it(`agrees on every PCI device of a machine with ${name}`, async () => {
      using built = machine(spec);
      assert.deepEqual(await ours(built), theirs(built));
    });
  }
});

type Line = Record<
  'Slot' | 'Class' | 'Vendor' | 'Device' | 'Driver' | 'IOMMUGroup' | 'NUMANode',
  string | undefined
>;

const ours = async ({root}: Machine): Promise<Line[]> => {
  const {stdout} = await run(Groups, ['--json', '--sysroot', root]);
  const document = JSON.parse(stdout) as GroupsDocument;
  return [
    ...document.groups.flatMap((group) => group.devices.map((device) => line(device, group.id))),
    ...document.ungrouped.map((device) => line(device, undefined)),
  ]
    .filter((each) => each !== null)
    .sort(bySlot);
};

const line = (device: ListedDevice, group: number | undefined): Line | null =>
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

const theirs = ({path}: Machine): Line[] => {
  const {stdout} = spawnSync(
    'lspci',
    [
      '-A',
      'linux-sysfs',
      '-O',
      `sysfs.path=${path('sys/bus/pci')}`,
      '-i',
      path('usr/share/misc/pci.ids'),
      '-Dvmmnnk',
    ],
    {encoding: 'utf8'},
  );
  return stdout
    .split('\n\n')
    .filter(Boolean)
    .map((block) => {
      const fields = new Map(block.split('\n').map((each) => each.split(':\t') as [string, string]));
      return {
        Slot: fields.get('Slot'),
        Class: fields.get('Class'),
        Vendor: fields.get('Vendor'),
        Device: fields.get('Device'),
        Driver: fields.get('Driver'),
        IOMMUGroup: fields.get('IOMMUGroup'),
        NUMANode: fields.get('NUMANode'),
      };
    })
    .sort(bySlot);
};

const bySlot = (a: Line, b: Line): number => ((a.Slot ?? '') < (b.Slot ?? '') ? -1 : 1);
