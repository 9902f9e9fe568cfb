import {printable} from '../printable.js';
import type {Format} from './format.js';
import {isFree} from './group-state.js';
import {kindsOf} from './kinds.js';
import {unreadOf} from './unread-counts.js';
import type {Reading} from './reading.js';

type Labels = Readonly<Record<string, string | number>>;
type Sample = readonly [labels: Labels, value: number];

interface Metric {
  name: string;
  help: string;
  samples: (reading: Reading) => Iterable<Sample>;
}

const YES_NO = '1 for yes, 0 for no, NaN for unknown';

/** All metrics are gauges: a file that is written anew each time has no counters. */
const METRICS: readonly Metric[] = [
  {
    name: 'kvfio_group_info',
    help: 'A device: its IOMMU group (empty for none), driver and IOMMU unit, and whether the unit forces its DMA to be cache coherent.',
    samples: function* ({groups: {groups, ungrouped}}) {
      for (const {group, devices} of groups) for (const device of devices) yield [infoOf(device, group), 1];
      for (const device of ungrouped) yield [infoOf(device, ''), 1];
    },
  },
  {
    name: 'kvfio_group_assignable',
    help: `Whether a VM can have the group as its devices are bound now: ${YES_NO}.`,
    samples: ofGroups(({assignable}) => YES_IS_ONE[assignable.verdict]),
  },
  {
    name: 'kvfio_group_assignable_after_bind',
    help: `Whether a VM can have the group after kvfio bind: ${YES_NO}.`,
    samples: ofGroups(({assignable}) => YES_IS_ONE[assignable.afterBind]),
  },
  {
    name: 'kvfio_group_snoop_enforced',
    help: `Whether KVM would take the DMA of the group for cache coherent: ${YES_NO}.`,
    samples: ofGroups(({snoopControl}) => ENFORCED_IS_ONE[snoopControl.verdict]),
  },
  {
    name: 'kvfio_group_held',
    help: `Whether a process has the group, or a device of it, open for VFIO: ${YES_NO}.`,
    samples: function* ({groups: {groups}, holders}) {
      for (const {group} of groups) yield [{group}, HELD_IS_ONE[`${isFree(holders, group)}`]];
    },
  },
  {
    name: 'kvfio_vm_coherent',
    help: `Whether KVM takes the VM for cache coherent, so that it skips WBINVD: ${YES_NO}.`,
    samples: ofVms(({coherency}) => COHERENT_IS_ONE[coherency.state]),
  },
  {
    name: 'kvfio_vm_vfio_files',
    help: 'How many VFIO groups and devices the owner of the VM has open.',
    samples: ofVms(({groups, cdevs}) => groups.length + cdevs.length),
  },
  {
    name: 'kvfio_vm_kvm_vfio_devices',
    help: 'How many descriptors of a kvm-vfio device the owner of the VM has: without one, KVM knows of no group.',
    samples: ofVms(({device}) => device.all.length),
  },
  {
    name: 'kvfio_doctor_check',
    help: 'Whether a check of kvfio doctor passes: 1 for yes, 0 for no, NaN for unknown.',
    samples: ({doctor}) => (doctor?.checks ?? []).map(({id, state}) => [{check: id}, PASS_IS_ONE[state]]),
  },
  {
    name: 'kvfio_doctor_failed_checks',
    help: 'How many checks of what is needed fail.',
    samples: ({doctor}) => (doctor === null ? [] : [[{}, doctor.failed]]),
  },
  {
    name: 'kvfio_kernel_info',
    help: 'The kernel that decides about all this.',
    samples: ({groups: {kernel}}) => [
      [{release: kernel.release ?? '', coherency_rule: kernel.coherencyRule}, 1],
    ],
  },
  {
    name: 'kvfio_read_timestamp_seconds',
    help: 'When the machine was read, in seconds since 1970: time() less this is the age of all that is here.',
    samples: ({time}) => [[{}, time]],
  },
  {
    name: 'kvfio_part_read',
    help: 'Whether a part of the reading could be made: 1 for yes, 0 for no.',
    samples: ({unread}) =>
      (['doctor', 'holders', 'vms'] as const).map((part) => [
        {part},
        unread.some((each) => each.part === part) ? 0 : 1,
      ]),
  },
  {
    name: 'kvfio_unread_files',
    help: 'How many files could not be read or understood, by the error.',
    samples: (reading) => [...unreadOf(reading).files].map(([code, count]) => [{code}, count]),
  },
  {
    name: 'kvfio_hidden_processes',
    help: 'How many processes could not be looked into: they may have VMs and groups, too.',
    samples: (reading) => {
      const {hiddenProcesses} = unreadOf(reading);
      return hiddenProcesses === null ? [] : [[{}, hiddenProcesses]];
    },
  },
  {
    name: 'kvfio_exporter_info',
    help: 'The kvfio that has written this.',
    samples: ({kvfioVersion}) => [[{version: kvfioVersion}, 1]],
  },
];

/** For the textfile collector of the node exporter, which takes no times of samples. */
export const prometheus: Format = {
  summary: 'metrics for the textfile collector of the node exporter',
  place: '/var/lib/prometheus/node-exporter/kvfio.prom',
  parts: ['doctor', 'vms', 'holders'],
  mark: '# Written by "kvfio export prometheus".\n',
  pieces: function* (reading) {
    yield prometheus.mark;
    for (const metric of METRICS) yield* metricPieces(metric, reading);
  },
};

/** The collector drops a whole file in which a series occurs twice, so what occurs twice is left out. */
function* metricPieces({name, help, samples}: Metric, reading: Reading): Generator<string> {
  const seen = new Set<string>();
  for (const [labels, value] of samples(reading)) {
    const series = `${name}${labelText(labels)}`;
    if (seen.has(series)) continue;
    if (seen.size === 0) yield `# HELP ${name} ${help}\n# TYPE ${name} gauge\n`;
    seen.add(series);
    yield `${series} ${value}\n`;
  }
}

const labelText = (labels: Labels): string => {
  const texts = Object.entries(labels).map(([name, value]) => `${name}="${labelValue(String(value))}"`);
  return texts.length === 0 ? '' : `{${texts.join(',')}}`;
};

/** A backslash, a quote and a line end have escapes; what else steers a terminal has none, and is spelt out. */
const labelValue = (text: string): string =>
  PLAIN.test(text)
    ? text
    : text
        .split('\n')
        .map((line) => printable(line).replace(/["\\]/g, '\\$&'))
        .join('\\n');

const PLAIN = /^[ !#-[\]-~]*$/;

type DeviceOf = Reading['groups']['groups'][number]['devices'][number];

const infoOf = (device: DeviceOf, group: number | ''): Labels => ({
  group,
  pci_address: device.address,
  driver: device.driver ?? '',
  iommu: device.iommu ?? '',
  snoop: device.snoopControl.verdict,
  bus: device.bus ?? '',
  kind: kindsOf(device).join(),
});

const YES_IS_ONE = {yes: 1, no: 0, unknown: NaN} as const;
const ENFORCED_IS_ONE = {enforced: 1, 'not-enforced': 0, unknown: NaN} as const;
const COHERENT_IS_ONE = {coherent: 1, 'non-coherent': 0, unknown: NaN} as const;
const HELD_IS_ONE = {true: 0, false: 1, null: NaN} as const;
const PASS_IS_ONE = {pass: 1, fail: 0, unknown: NaN} as const;

type GroupOf = Reading['groups']['groups'][number];
type VmOf = NonNullable<Reading['vms']>['vms'][number];

function ofGroups(value: (group: GroupOf) => number): Metric['samples'] {
  return function* ({groups: {groups}}) {
    for (const group of groups) yield [{group: group.group}, value(group)];
  };
}

/** A process may have several VMs, of which its descriptors are. */
function ofVms(value: (vm: VmOf) => number): Metric['samples'] {
  return ({vms}) =>
    (vms?.vms ?? []).map((vm) => [
      {pid: vm.pid, fd: vm.fd, command: vm.command, name: vm.name ?? ''},
      value(vm),
    ]);
}
