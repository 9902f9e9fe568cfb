import {printableJson} from '../printable.js';
import type {Format} from './format.js';
import {isFree, type GroupState} from './group-state.js';
import {kindsOf} from './kinds.js';
import {nodeLabels, statedGroups, type StatedGroup} from './node-labels.js';
import type {Reading} from './reading.js';
import {unreadOf} from './unread-counts.js';

const WRITTEN_BY = 'kvfio export nfd-object';

/** Bytes of devices; etcd takes requests of 1.5 MiB, of which the object is not all. */
const LARGEST = 1_048_576;

/**
 * What `kvfio export nfd-object` writes: a NodeFeature object of node-feature-discovery (types.go in its api/nfd/v1alpha1). A feature
 * that is unknown is left out, so that no rule takes it for a yes or a no.
 */
export interface NodeFeature {
  apiVersion: 'nfd.k8s-sigs.io/v1alpha1';
  kind: 'NodeFeature';
  metadata: {
    name: string;
    annotations: {'kvfio/written-by': typeof WRITTEN_BY};
    /** Label by which NFD knows the node; an object without it is of no node. */
    labels: {'nfd.node.kubernetes.io/node-name'?: string};
  };
  spec: {
    /** Labels that the node gets. */
    labels: Record<string, string>;
    features: {
      /** None; NFD before 0.17 wants the field. */
      flags: Record<string, never>;
      attributes: {'kvfio.host': {elements: HostElements}};
      instances: {'kvfio.device': {elements: {attributes: DeviceElements}[]}};
    };
  };
}

/** Features have texts for values. */
export interface HostElements {
  kvfio: string;
  /** When the host was read, in seconds since 1970. */
  time: string;
  kernel?: string;
  /** Files that could not be read or understood. */
  unread_files: string;
  /** Parts that could not be read, with commas. */
  unread_parts: string;
  /** Processes that could not be looked into. */
  unread_processes?: string;
  /** Devices that are left out of an object that would be too large. */
  left_out_devices: string;
}

export interface DeviceElements {
  address: string;
  group: string;
  /** What its group is good for. */
  state: GroupState;
  /** What kind of device it is. */
  kind?: string;
  /** Vendor, device and class, each with four hexadecimal digits as in NFD's own `pci.device`. */
  vendor?: string;
  device?: string;
  class?: string;
  driver?: string;
  iommu?: string;
  numa_node?: string;
  /** Facts of the group: whether a VM can have it now, and after `kvfio bind`; whether it is free; whether its DMA is coherent. */
  assignable: 'yes' | 'no' | 'unknown';
  assignable_after_bind: 'yes' | 'no' | 'unknown';
  free?: string;
  snoop: string;
}

/** One JSON document, which kubectl takes as it takes YAML. */
export const nfdObject: Format = {
  summary: 'an object of NFD with each device, for kubectl apply --server-side',
  place: null,
  parts: ['holders', 'details'],
  mark: `"annotations":{"kvfio/written-by":"${WRITTEN_BY}"}`,
  notes: ({node}) =>
    node === null ? ['The object names no node, so NFD gives it to none: name the node with --node.'] : [],
  pieces: (reading) => [printableJson(nodeFeature(reading)), '\n'],
};

const nodeFeature = (reading: Reading): NodeFeature => {
  const {node, kvfioVersion, time, groups, unread} = reading;
  const {fileCount, hiddenProcesses} = unreadOf(reading);
  const stated = statedGroups(reading);
  const devices = stated.flatMap((each) => elementsOf(each, reading));
  let bytes = 0;
  const kept = devices.filter(({attributes}) => (bytes += JSON.stringify(attributes).length + 16) <= LARGEST);
  return {
    apiVersion: 'nfd.k8s-sigs.io/v1alpha1',
    kind: 'NodeFeature',
    metadata: {
      name: node === null ? 'kvfio' : `kvfio-${node}`,
      annotations: {'kvfio/written-by': WRITTEN_BY},
      labels: node === null ? {} : {'nfd.node.kubernetes.io/node-name': node},
    },
    spec: {
      labels: nodeLabels(reading, stated),
      features: {
        flags: {},
        attributes: {
          'kvfio.host': {
            elements: {
              kvfio: kvfioVersion,
              time: String(Math.floor(time)),
              ...known({kernel: groups.kernel.release}),
              unread_files: String(fileCount),
              unread_parts: unread.map(({part}) => part).join(),
              ...known({unread_processes: hiddenProcesses}),
              left_out_devices: String(devices.length - kept.length),
            },
          },
        },
        instances: {'kvfio.device': {elements: kept}},
      },
    },
  };
};

const elementsOf = ({group, state}: StatedGroup, {holders}: Reading): {attributes: DeviceElements}[] =>
  group.devices.map((device) => ({
    attributes: {
      address: device.address,
      group: String(group.group),
      state,
      ...known({
        kind: kindsOf(device)[0] ?? null,
        vendor: device.vendorId,
        device: device.deviceId,
        class: device.classCode?.slice(0, 4) ?? null,
        driver: device.driver,
        iommu: device.iommu,
        numa_node: device.numaNode,
        free: isFree(holders, group.group),
      }),
      assignable: group.assignable.verdict,
      assignable_after_bind: group.assignable.afterBind,
      snoop: group.snoopControl.verdict,
    },
  }));

/** What is known, as texts. */
const known = <Name extends string>(
  values: Readonly<Record<Name, string | number | boolean | null>>,
): Partial<Record<Name, string>> =>
  Object.fromEntries(
    Object.entries<string | number | boolean | null>(values).flatMap(([name, value]) =>
      value === null ? [] : [[name, String(value)]],
    ),
  ) as Partial<Record<Name, string>>;
