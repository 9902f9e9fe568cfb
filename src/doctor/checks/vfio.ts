import type {HostCheck} from '../check.js';
import {fail, ofLive, pass, unknown, type CheckFinding} from '../check.js';
import {isAtLeast} from '../../host/kernel-release.js';
import {readGroupNodes} from '../../vfio/group-node.js';
import {machineNames, machineText, type Machine} from '../machine.js';
import {isBuiltIn, isLoaded, obstacleTo, type Module} from '../modules.js';

/** VFIO: its modules, its nodes, the newer interface. */
export const VFIO_CHECKS: readonly HostCheck[] = [
  {
    id: 'vfio-modules',
    title: 'the kernel has VFIO',
    otherwise: 'the kernel lacks VFIO, or a part of it',
    matters: 'devices are given to the driver vfio-pci, and vfio_iommu_type1 maps memory for them',
    neededFor: ['attach', 'passthrough'],
    look: vfioModules,
  },
  {
    id: 'vfio-nodes',
    title: 'you may open the groups that VFIO has',
    otherwise: 'you may not open the groups that VFIO has',
    matters:
      'a group is opened through its node below /dev/vfio, by whoever starts the VM or attaches the group',
    neededFor: ['attach', 'passthrough'],
    look: ofLive(({tree}, {nodeError}) => {
      const nodes = readGroupNodes(tree);
      if (nodes.length === 0)
        return unknown('no group is bound to a VFIO driver, so there is no node to look at');
      const container = nodeError('/dev/vfio/vfio');
      const refused = nodes
        .map(({path}) => ({path, errno: nodeError(path)}))
        .filter((node) => node.errno !== null);
      const [first] = refused;
      if (first !== undefined)
        return fail(
          refused.map(({path, errno}) => `${path} is answered ${errno ?? ''}`).join(', '),
          first.errno === 'ENOENT'
            ? 'run kvfio on the host itself, or give the container the node'
            : `run kvfio as root, or have root run "chown YOUR-NAME ${first.path}"`,
        );
      return container === null
        ? pass(`${nodes.map(({path}) => path).join(', ')} and /dev/vfio/vfio can be opened`)
        : fail(
            `/dev/vfio/vfio is answered ${container}`,
            'have root run "chmod 666 /dev/vfio/vfio", as udev does',
          );
    }),
  },
  {
    id: 'vfio-cdev',
    title: 'the kernel has the interface by device (cdev, IOMMUFD)',
    otherwise: 'the kernel lacks the interface by device (cdev, IOMMUFD)',
    matters: 'newer VMMs can use it in place of groups, since Linux 6.6',
    neededFor: [],
    look: cdevs,
  },
];

const MODULES: readonly Module[] = [
  {name: 'vfio', option: 'CONFIG_VFIO'},
  {name: 'vfio_iommu_type1', option: 'CONFIG_VFIO_IOMMU_TYPE1'},
  {name: 'vfio_pci', option: 'CONFIG_VFIO_PCI'},
];

/** What shows that a module runs which has no folder in /sys/module, as one that is built in and has no parameters. */
const TRACES: Record<string, string> = {
  vfio: '/sys/class/vfio',
  // with IOMMUFD, VFIO does without (CONFIG_IOMMUFD_VFIO_CONTAINER, or cdevs)
  vfio_iommu_type1: '/sys/class/misc/iommu',
  vfio_pci: '/sys/bus/pci/drivers/vfio-pci',
};

function vfioModules(machine: Machine): CheckFinding {
  const runs = ({name, option}: Module): boolean =>
    isLoaded(machine, name) ||
    isBuiltIn(machine, {name, option}) ||
    machineNames(machine, TRACES[name] ?? '') !== null;
  const missing = MODULES.filter((module) => !runs(module));
  if (missing.length === 0) {
    const loaded = MODULES.filter(({name}) => isLoaded(machine, name)).map(({name}) => name);
    const rest = MODULES.map(({name}) => name).filter((name) => !loaded.includes(name));
    return pass(
      [
        ...(loaded.length === 0 ? [] : [`${loaded.join(', ')} ${loaded.length === 1 ? 'is' : 'are'} loaded`]),
        ...(rest.length === 0
          ? []
          : [`${rest.join(', ')} ${rest.length === 1 ? 'is' : 'are'} part of this kernel`]),
      ].join(', '),
    );
  }
  for (const module of missing) {
    const obstacle = obstacleTo(machine, module);
    if (obstacle !== null) return fail(`${module.name} does not run: ${obstacle.seen}`, obstacle.remedy);
  }
  return pass(
    `${missing.map(({name}) => name).join(', ')} can be loaded, as "modprobe vfio-pci" by root does`,
  );
}

/**
 * VFIO takes the numbers of its nodes when it starts: `vfio` for groups, `vfio-dev` for devices (drivers/vfio/group.c,
 * vfio_group_init(); device_cdev.c, vfio_cdev_init()).
 */
function cdevs(machine: Machine): CheckFinding {
  const {config, version, host} = machine;
  const numbers = (machineText(machine, '/proc/devices') ?? '')
    .split('\n')
    .map((line) => line.trim().split(' ')[1]);
  const nodes = (machineNames(machine, '/sys/class/vfio-dev') ?? []).filter(
    (name) => machineText(machine, `/sys/class/vfio-dev/${name}/dev`) !== null,
  );
  if (numbers.includes('vfio-dev') || nodes.length > 0) return pass('VFIO makes a node for each device');
  if (version !== null && !isAtLeast(version, 6, 6))
    return fail(`Linux ${host.kernel.release ?? ''} is older`, WITHOUT_CDEVS);
  if (numbers.includes('vfio')) return fail('VFIO runs, and makes no nodes of devices', WITHOUT_CDEVS);
  switch (config?.option('CONFIG_VFIO_DEVICE_CDEV')) {
    case 'y':
      return pass(`${config.path} has CONFIG_VFIO_DEVICE_CDEV`);
    case undefined:
      return unknown('VFIO does not run, and the configuration of the kernel cannot be read');
    default:
      return fail(`${config?.path ?? ''} has no CONFIG_VFIO_DEVICE_CDEV`, WITHOUT_CDEVS);
  }
}

const WITHOUT_CDEVS =
  'use groups, or a kernel from 6.6 on that is built with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV, which those of Debian are not';
