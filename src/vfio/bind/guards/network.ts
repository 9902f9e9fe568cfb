import {isOfClass} from '../../../pci/class.js';
import {SyscallError} from '../../../linux/errno.js';
import type {HostTree} from '../../../host/tree.js';
import {openedNodes} from './character-nodes.js';
import {connectionsOf} from './tcp-connections.js';
import {isBelow, folderNames, resolved, treeText, type Guard} from './guard.js';

const NET = '/sys/class/net';

/**
 * An interface that the machine is reached by: it, or a bond, bridge or VLAN on it, has an address or a default route. Or
 * one that others are reached by: a port of a bridge that has more of them, one of another network namespace, which
 * sysfs does not show, and one that is up for a reason that does not show.
 */
export const networkGuard: Guard = (context) => {
  const {tree, devices, addresses, live} = context;
  const interfaces = folderNames(tree, NET).flatMap((name) => {
    const path = resolved(tree, NET, name);
    return path === null ? [] : [{name, path}];
  });
  const routes = defaultRoutes(tree);
  const usesOfAll = (name: string): string[] =>
    [name, ...uppersOf(tree, name)].flatMap((upper) => {
      const uses = [
        ...usesOf(tree, upper, {addresses, routes}),
        ...otherPorts(tree, upper, [name, ...uppersOf(tree, name)]),
      ];
      return uses.length === 0
        ? []
        : [`${upper === name ? name : `${upper} on ${name}`} ${uses.join(' and ')}`];
    });
  return devices.flatMap((device) => {
    const {path, driver, boundToVfio, classCode} = device;
    const own = interfaces.filter((each) => isBelow(each.path, path));
    // what was written down of another machine need not have its interfaces
    const isHidden =
      live &&
      own.length === 0 &&
      isOfClass(classCode, 'nic') &&
      !boundToVfio &&
      mayHaveInterface(tree, {path, driver});
    return [
      ...openedNodes(context, path, RDMA),
      ...(isHidden
        ? [
            `${driver ?? ''} drives it, but no interface of it shows here: its interface is in another network namespace, or it has none`,
          ]
        : []),
      ...own.flatMap(({name}) => {
        const uses = usesOfAll(name);
        return uses.length === 0 && hasLink(tree, name)
          ? [`${name} ${UNEXPLAINED}; if none does, "ip link set ${name} down"`]
          : uses;
      }),
    ].map((found) => ({guard: 'network' as const, device: device.address, found}));
  });
};

/**
 * Up with a carrier. What is built on an interface and has moved to another network namespace does not show
 * (netdev_adjacent_is_neigh_list in net/core/dev.c).
 */
const hasLink = (tree: HostTree, name: string): boolean =>
  (Number(treeText(tree, `${NET}/${name}/flags`) ?? 0) & IFF_UP) !== 0 &&
  treeText(tree, `${NET}/${name}/carrier`) === '1';

/** include/uapi/linux/if.h. */
const IFF_UP = 1;

const UNEXPLAINED =
  'is up and has a link, and nothing here explains why: a program, or interfaces of containers (macvlan, ipvlan, VLAN), may use it';

/** Classes of the nodes through which programs send and receive by themselves (drivers/infiniband/core). */
const RDMA = ['infiniband_verbs', 'infiniband_mad'];

/** pci-stub only keeps others away from a device, and ports of InfiniBand have interfaces by ib_ipoib alone. */
const mayHaveInterface = (tree: HostTree, {path, driver}: {path: string; driver: string | null}): boolean =>
  driver !== null &&
  driver !== 'pci-stub' &&
  !(isInfiniBand(tree, path) && tree.list('/sys/module/ib_ipoib') instanceof SyscallError);

/** Whether all ports of a device are (drivers/infiniband/core/sysfs.c, link_layer_show); they may be of Ethernet. */
const isInfiniBand = (tree: HostTree, path: string): boolean => {
  const layers = folderNames(tree, `${path}/infiniband`).flatMap((name) =>
    folderNames(tree, `${path}/infiniband/${name}/ports`).map((port) =>
      treeText(tree, `${path}/infiniband/${name}/ports/${port}/link_layer`),
    ),
  );
  return layers.length > 0 && layers.every((layer) => layer === 'InfiniBand');
};

const usesOf = (
  tree: HostTree,
  name: string,
  {addresses, routes}: {addresses: Parameters<Guard>[0]['addresses']; routes: ReadonlySet<string>},
): string[] => {
  const index = Number(treeText(tree, `${NET}/${name}/ifindex`));
  const all = addresses().filter((address) => address.index === index);
  const own = all.filter(({linkLocal}) => !linkLocal);
  const connected = connectionsOf(
    tree,
    all.filter(({linkLocal}) => linkLocal).map(({address}) => address.replace(/\/.*/, '')),
  );
  return [
    ...(own.length > 0 ? [`has the address ${own.map(({address}) => address).join(', ')}`] : []),
    ...(routes.has(name) ? ['has a default route'] : []),
    ...(connected > 0
      ? [`has ${connected} established TCP ${connected === 1 ? 'connection' : 'connections'}`]
      : []),
    // its ports' addresses are those of interfaces that nothing links to them
    ...(name === 'ovs-system' ? ['makes it a port of Open vSwitch'] : []),
  ];
};

/** Ports that a bridge has besides, such as those of VMs and containers (net/bridge/br_sysfs_br.c, br_sysfs_addbr). */
const otherPorts = (tree: HostTree, name: string, own: readonly string[]): string[] => {
  const ports = folderNames(tree, `${NET}/${name}/brif`).filter((port) => !own.includes(port));
  return ports.length === 0 ? [] : [`is a bridge that has the ports ${ports.sort().join(', ')}, too`];
};

/** Interfaces that are built on one, at whatever height (net/core/dev.c, netdev_adjacent_sysfs_add). */
const uppersOf = (tree: HostTree, name: string, seen = new Set<string>()): string[] => {
  for (const entry of folderNames(tree, `${NET}/${name}`)) {
    const upper = entry.startsWith('upper_') ? entry.slice('upper_'.length) : null;
    if (upper === null || seen.has(upper)) continue;
    seen.add(upper);
    uppersOf(tree, upper, seen);
  }
  return [...seen];
};

/** Interfaces with a default route in the main table (/proc/net/route, /proc/net/ipv6_route). */
const defaultRoutes = (tree: HostTree): Set<string> => {
  const names = new Set<string>();
  for (const line of (treeText(tree, '/proc/net/route') ?? '').split('\n').slice(1)) {
    const [name, destination, , , , , , mask] = line.split(/\s+/);
    if (name !== undefined && destination === '00000000' && mask === '00000000') names.add(name);
  }
  for (const line of (treeText(tree, '/proc/net/ipv6_route') ?? '').split('\n')) {
    const fields = line.trim().split(/\s+/);
    // the kernel's own unreachable default route is that of lo
    if (
      /^0{32}$/.test(fields[0] ?? '') &&
      fields[1] === '00' &&
      fields[9] !== undefined &&
      fields[9] !== 'lo'
    )
      names.add(fields[9]);
  }
  return names;
};
