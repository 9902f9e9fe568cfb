import type {Check} from '../check.js';
import {fail, pass, unknown, type Finding} from '../check.js';
import {readGroupNodes} from '../../vfio/group-node.js';
import {namesIn, textOf, type Machine} from '../machine.js';

/** VFIO: its modules, its nodes, the newer interface. */
export const VFIO_CHECKS: readonly Check[] = [
  {
    id: 'vfio-modules',
    title: 'the kernel has VFIO',
    matters: 'devices are given to the driver vfio-pci, and vfio_iommu_type1 maps memory for them',
    neededFor: ['attach', 'passthrough'],
    look: vfioModules,
  },
  {
    id: 'vfio-nodes',
    title: 'you may open the groups that VFIO has',
    matters:
      'a group is opened through its node below /dev/vfio, by whoever starts the VM or attaches the group',
    neededFor: ['attach', 'passthrough'],
    look: ({tree, nodeError}) => {
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
    },
  },
  {
    id: 'vfio-cdev',
    title: 'the kernel has the interface by device (cdev, IOMMUFD)',
    matters: 'newer VMMs can use it in place of groups, since Linux 6.6',
    neededFor: [],
    look: (machine) => {
      const {config} = machine;
      const iommufd = namesIn(machine, '/sys/class/misc/iommu') !== null;
      const devices = namesIn(machine, '/sys/class/vfio-dev') ?? [];
      const cdev = devices.some((name) => textOf(machine, `/sys/class/vfio-dev/${name}/dev`) !== null);
      const built = config?.option('CONFIG_VFIO_DEVICE_CDEV');
      if (cdev || (iommufd && built === 'y')) return pass('/dev/iommu and /dev/vfio/devices are there');
      if (built === 'n' || devices.length > 0)
        return fail(
          built === 'n'
            ? `${config?.path ?? ''} has no CONFIG_VFIO_DEVICE_CDEV`
            : 'no device of VFIO has a node of its own',
          'do without, through groups, or use a kernel that is built with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV, which those of Debian are not',
        );
      return unknown('no device is bound to VFIO, and the configuration of the kernel cannot be read');
    },
  },
];

const MODULES = ['vfio', 'vfio_iommu_type1', 'vfio_pci'] as const;

function vfioModules(machine: Machine): Finding {
  const {distribution, config, host} = machine;
  const loaded = new Set(namesIn(machine, '/sys/module') ?? []);
  const missing = MODULES.filter((name) => !loaded.has(name));
  if (missing.length === 0) return pass(`${MODULES.join(', ')} are loaded`);
  const {release} = host.kernel;
  const folder = `/lib/modules/${release ?? ''}`;
  const index = release === null ? null : textOf(machine, `${folder}/modules.dep`, INDEX);
  const builtIn = release === null ? null : textOf(machine, `${folder}/modules.builtin`, INDEX);
  if (index === null && builtIn === null) {
    return config !== null && MODULES.some((name) => config.option(OPTIONS[name]) === 'n')
      ? fail(
          `${missing.join(', ')} are not loaded, and ${config.path} leaves them out`,
          distribution.otherKernel('CONFIG_VFIO_PCI'),
        )
      : fail(
          `${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} not loaded, and ${folder} has no modules of this kernel`,
          `install the modules of Linux ${release ?? ''}, or ${distribution.otherKernel('CONFIG_VFIO_PCI')}`,
        );
  }
  // the name of a module's file may have dashes where the module has underscores
  const has = (name: string): boolean =>
    [index, builtIn].some((text) =>
      new RegExp(`/${name.replaceAll('_', '[-_]')}\\.ko(?:\\.\\w+)?(?::|$)`, 'm').test(text ?? ''),
    );
  const absent = missing.filter((name) => !has(name));
  return absent.length > 0
    ? fail(
        `${absent.join(', ')} ${absent.length === 1 ? 'is' : 'are'} not among the modules in ${folder}`,
        distribution.otherKernel('CONFIG_VFIO_PCI'),
      )
    : pass(`${missing.join(', ')} can be loaded, as "modprobe vfio-pci" does`);
}

const OPTIONS: Record<(typeof MODULES)[number], string> = {
  vfio: 'CONFIG_VFIO',
  vfio_iommu_type1: 'CONFIG_VFIO_IOMMU_TYPE1',
  vfio_pci: 'CONFIG_VFIO_PCI',
};

const INDEX = 16 * 1024 * 1024;
