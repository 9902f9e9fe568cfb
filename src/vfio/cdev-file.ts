import {Failure} from '../failure.js';
import type {Device} from '../iommu/device.js';
import type {Group} from '../iommu/group.js';
import {Descriptor} from '../linux/descriptor.js';
import type {CdevNode} from './cdev-node.js';
import type {Examined} from './eligibility/check.js';
import {whyBindingIsUseless} from './eligibility/require-assignable.js';
import type {FileNode} from './file-node.js';
import {notViable} from './group-file.js';
import {holdersOf} from './holders.js';
import {checkNode, holderText, openNode, toFree} from './open-node.js';

/** A process that uses a device, and the node that it uses. */
export interface CdevUse {
  /** The group of the device. */
  group: Group;
  examined: Examined;
  nodes: readonly FileNode[];
  /** The owner of the VM that the device is for. */
  owner: number;
}

/**
 * Opens a device for the owner of a VM. The caller closes it.
 *
 * The kernel lets everybody open a cdev, and refuses only to bind it to an IOMMUFD while somebody else uses the device
 * or its group (vfio_df_ioctl_bind_iommufd in drivers/vfio/device_cdev.c). KVM takes an open one for a device of the
 * VM's all the same, so it is here that one VM is kept from what another has, as far as kvfio may see who has what.
 *
 * @throws {@link Failure}: refused when it is in use or its group not viable, permission, notFound
 */
export const openCdev = (node: CdevNode, use: CdevUse): Descriptor => {
  checkCdevFree(node, use);
  return new Descriptor(openNode(node), node.path);
};

/**
 * Throws as {@link openCdev} would, as far as kvfio can determine that without opening it.
 *
 * @throws {@link Failure}
 */
export const checkCdevFree = (node: CdevNode, {group, examined, nodes, owner}: CdevUse): void => {
  checkNode(node);
  if (!group.viable) throw notViable(examined, group);
  const ofGroup = nodes.filter(({kind, group: id}) => kind === 'group' && id === group.id);
  const {holders} = holdersOf(node.device, ...ofGroup.map(({device}) => device));
  const others = holders.filter(({pid}) => pid !== owner && pid !== process.pid);
  const [first] = others;
  if (first === undefined) return;
  throw new Failure({
    code: 'CDEV_BUSY',
    kind: 'refused',
    what: `${node.address} is in use.`,
    why: `A device has one user at a time, and ${holderText(others)} it or its group, ${group.id}, open.`,
    hint: toFree(first, {device: node.device, name: `--cdev ${node.address}`}),
  });
};

/**
 * The node of a device.
 *
 * @throws {@link Failure} that says what keeps the device from having one
 */
export const requireCdevNode = (
  nodes: readonly FileNode[],
  {address, driver, boundToVfio}: Device,
  {group, examined}: Pick<CdevUse, 'group' | 'examined'>,
): CdevNode => {
  const node = nodes.find((candidate) => candidate.kind === 'cdev' && candidate.address === address);
  if (node?.kind === 'cdev') return node;
  if (boundToVfio) {
    throw new Failure({
      code: 'NO_CDEVS',
      kind: 'cannotDecide',
      what: `${address} has no node of its own.`,
      why: `${driver ?? 'Its driver'} has it, but this kernel has no /dev/vfio/devices: that needs Linux 6.6 with CONFIG_VFIO_DEVICE_CDEV.`,
      hint: 'Name its group with --group.',
    });
  }
  const useless = whyBindingIsUseless(examined, group, address);
  throw new Failure({
    code: 'CDEV_NOT_BOUND',
    // it is there, and VFIO cannot take it as it is
    kind: 'refused',
    what: `${address} is not bound to a VFIO driver${useless === null ? '' : ', and to bind it would not give it to a VM'}.`,
    why:
      useless?.why ??
      `It is bound to ${driver ?? 'no driver'}, so there is no node of it in /dev/vfio/devices.`,
    hint:
      useless?.hint ??
      `Run "kvfio bind --device ${address}" (with --dry-run first), unless the host needs it.`,
  });
};
