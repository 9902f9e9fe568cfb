import {printable, printableJson} from '../printable.js';
import type {Format} from './format.js';
import type {Reading} from './reading.js';
import {unreadOf} from './unread-counts.js';

const WRITTEN_BY = 'KVFIO_CDI=written by kvfio export cdi';

/**
 * What `kvfio export cdi` writes, by the specification of the Container Device Interface. It has only what version 0.3.0 has, the
 * lowest: podman 4.3 takes no file that names a version above 0.5.0, and no runtime takes a field that it does not know. So what has no field of its own
 * is in the environment of the container.
 */
export interface CdiSpec {
  cdiVersion: '0.3.0';
  kind: 'kvfio/vfio';
  /** What a container gets with any of the devices. */
  containerEdits: ContainerEdits;
  /** One for each group, `group12`, or the only one that says that there are none, `none`: a file without devices is invalid. */
  devices: {name: string; containerEdits: ContainerEdits}[];
}

export interface ContainerEdits {
  /** `NAME=VALUE` */
  env: string[];
  deviceNodes?: DeviceNode[];
}

export interface DeviceNode {
  /** Path of the node, in the container as on the host. */
  path: string;
  permissions: 'rw';
}

export const cdi: Format = {
  summary: 'a device of containers (CDI) for each group that a VM can have now',
  place: '/etc/cdi/kvfio.json',
  parts: [],
  mark: `"${WRITTEN_BY}"`,
  notes: (reading) => {
    const {nodes, given, leftOut} = choose(reading);
    const total = given.length + leftOut;
    return [
      ...(given.length > 0 ? [CHOICES[nodes].why] : []),
      ...(leftOut > 0
        ? [
            `${leftOut} of ${total} groups have no device, for they are not bound to a VFIO driver or no VM can have them: "kvfio groups --explain" says why.`,
          ]
        : []),
    ];
  },
  pieces: (reading) => [printableJson(cdiSpec(reading), 2), '\n'],
};

type Group = Reading['groups']['groups'][number];

/** Which of the two kinds of nodes VFIO has. The kernel lets nobody have a device by both at once. */
const CHOICES = {
  groups: {
    shared: '/dev/vfio/vfio',
    why: 'The devices are groups (/dev/vfio/N), which every VMM can use, and not cdevs, since the kernel of this host has groups.',
  },
  cdevs: {
    shared: '/dev/iommu',
    why: 'The devices are cdevs (/dev/vfio/devices/vfioN) with /dev/iommu, since the VFIO of this host has no groups.',
  },
} as const;

interface Choice {
  nodes: keyof typeof CHOICES;
  given: {group: Group; paths: string[]}[];
  /** How many groups have no device. */
  leftOut: number;
}

const choose = ({groups: {groups}, nodes}: Reading): Choice => {
  const withIommu = <T extends {path: string}>(all: readonly T[]): T[] =>
    all.filter(({path}) => !path.includes('/noiommu-'));
  const byGroup = new Map(withIommu(nodes.groups).map(({group, path}) => [group, path]));
  const byAddress = new Map(withIommu(nodes.cdevs).map(({address, path}) => [address, path]));
  const kind = byGroup.size > 0 || byAddress.size === 0 ? 'groups' : 'cdevs';
  const pathsOf = (group: Group): (string | undefined)[] =>
    kind === 'groups' ? [byGroup.get(group.group)] : ownOf(group).map(({address}) => byAddress.get(address));
  const given = groups
    .filter((group) => group.assignable.verdict === 'yes' && ownOf(group).length > 0)
    .flatMap((group) => {
      const paths = pathsOf(group).filter((path) => path !== undefined);
      return paths.length === pathsOf(group).length ? [{group, paths}] : [];
    });
  return {nodes: kind, given, leftOut: groups.length - given.length};
};

/** The devices that a VMM opens. */
const ownOf = ({devices}: Group): Group['devices'] => devices.filter(({boundToVfio}) => boundToVfio);

const cdiSpec = (reading: Reading): CdiSpec => {
  const {nodes, given, leftOut} = choose(reading);
  return {
    cdiVersion: '0.3.0',
    kind: 'kvfio/vfio',
    containerEdits: {
      env: [
        WRITTEN_BY,
        `KVFIO_CDI_NODES=${nodes}`,
        `KVFIO_CDI_LEFT_OUT=${leftOut}`,
        `KVFIO_CDI_UNREAD_FILES=${unreadOf(reading).fileCount}`,
      ],
      ...(given.length === 0 ? {} : {deviceNodes: [nodeOf(CHOICES[nodes].shared)]}),
    },
    devices:
      given.length === 0
        ? [{name: 'none', containerEdits: {env: ['KVFIO_CDI_NONE=this host has no group for a VM']}}]
        : given.map(({group, paths}) => ({
            name: `group${group.group}`,
            containerEdits: {
              env: [
                `KVFIO_GROUP_${group.group}=${ownOf(group)
                  .map(({address}) => printable(address))
                  .join()}`,
              ],
              deviceNodes: paths.map(nodeOf),
            },
          })),
  };
};

const nodeOf = (path: string): DeviceNode => ({path, permissions: 'rw'});
