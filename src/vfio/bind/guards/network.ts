import {isOfClass} from '../../../iommu/pci-class.js';
import type {HostTree} from '../../../linux/host-tree.js';
import {isBelow, namesIn, resolved, textOf, type Guard} from './guard.js';

const NET = '/sys/class/net';

/**
 * An interface that the machine is reached by: it, or a bond, bridge or VLAN on it, has an address or a default route. Or
 * one that others are reached by: a port of a bridge that has more of them, and one of another network namespace, which
 * sysfs does not show.
 */
export const networkGuard: Guard = ({tree, devices, addresses, live}) => {
  const interfaces = namesIn(tree, NET).flatMap((name) => {
    const path = resolved(tree, NET, name);
    return path === null ? [] : [{name, path}];
  });
  const routes = defaultRoutes(tree);
  return devices.flatMap(({address: device, path, driver, boundToVfio, classCode}) => {
    const own = interfaces.filter((each) => isBelow(each.path, path));
    // what was written down of another machine need not have its interfaces
    if (live && own.length === 0 && isOfClass(classCode, 'nic') && hasInterface(driver) && !boundToVfio) {
      const found = `${driver ?? ''} drives it, but no interface of it shows here: its interface is in another network namespace, or it has none`;
      return [{guard: 'network' as const, device, found}];
    }
    return own
      .flatMap(({name}) => [name, ...uppersOf(tree, name)].map((upper) => ({name, upper})))
      .flatMap(({name, upper}) => {
        const uses = [
          ...usesOf(tree, upper, {addresses, routes}),
          ...otherPorts(tree, upper, [name, ...uppersOf(tree, name)]),
        ];
        const which = upper === name ? name : `${upper} on ${name}`;
        return uses.length === 0
          ? []
          : [{guard: 'network' as const, device, found: `${which} ${uses.join(' and ')}`}];
      });
  });
};

/** pci-stub only keeps others away from a device. */
const hasInterface = (driver: string | null): boolean => driver !== null && driver !== 'pci-stub';

const usesOf = (
  tree: HostTree,
  name: string,
  {addresses, routes}: {addresses: Parameters<Guard>[0]['addresses']; routes: ReadonlySet<string>},
): string[] => {
  const index = Number(textOf(tree, `${NET}/${name}/ifindex`));
  const own = addresses().filter((address) => address.index === index && !address.linkLocal);
  return [
    ...(own.length > 0 ? [`has the address ${own.map(({address}) => address).join(', ')}`] : []),
    ...(routes.has(name) ? ['has a default route'] : []),
    // its ports' addresses are those of interfaces that nothing links to them
    ...(name === 'ovs-system' ? ['makes it a port of Open vSwitch'] : []),
  ];
};

/** Ports that a bridge has besides, such as those of VMs and containers (net/bridge/br_sysfs_br.c, br_sysfs_addbr). */
const otherPorts = (tree: HostTree, name: string, own: readonly string[]): string[] => {
  const ports = namesIn(tree, `${NET}/${name}/brif`).filter((port) => !own.includes(port));
  return ports.length === 0 ? [] : [`is a bridge that has the ports ${ports.sort().join(', ')}, too`];
};

/** Interfaces that are built on one, at whatever height (net/core/dev.c, netdev_adjacent_sysfs_add). */
const uppersOf = (tree: HostTree, name: string, seen = new Set<string>()): string[] => {
  for (const entry of namesIn(tree, `${NET}/${name}`)) {
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
  for (const line of (textOf(tree, '/proc/net/route') ?? '').split('\n').slice(1)) {
    const [name, destination, , , , , , mask] = line.split(/\s+/);
    if (name !== undefined && destination === '00000000' && mask === '00000000') names.add(name);
  }
  for (const line of (textOf(tree, '/proc/net/ipv6_route') ?? '').split('\n')) {
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
