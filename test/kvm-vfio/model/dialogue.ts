import type {CoherencyRule} from '../../../src/iommu/coherency-rule.js';
import type {Operation} from './operation.js';

/** An operation, and what can be seen after it. */
export interface Line {
  does: Operation;
  answer?: string;
  /** What another open of the group is answered. */
  group: string;
  /** Where the IOMMU does not enforce coherency: what KVM takes the VM for, and how often it took it for the other before. */
  noncoherent: boolean;
}

/** Sequences about one group. */
export interface Dialogue {
  claim: string;
  /** Which of the machine's groups. */
  group: 'of one device' | 'of several devices';
  lines: Line[];
}

/**
 * What Alex Williamson and Michael S. Tsirkin said of the device when it was proposed (2013): KVM holds a reference to
 * the group, it is not revoked when a device is unplugged, a device that comes back goes into the same group, and closing
 * the device or the end of the VM frees it.
 *
 * What has changed since: with its last device a group dies (6.1), and what comes back is another one; and by then no
 * device of it is left to be incoherent, should KVM look.
 */
export const dialogues = (rule: CoherencyRule): Dialogue[] => [
  {
    claim: 'KVM holds the group, and lets it go when the device is closed',
    group: 'of several devices',
    lines: [
      ...attached('of several devices'),
      {does: {do: 'close', file: {kind: 'group', pick: 0}}, group: 'EBUSY', noncoherent: true},
      {does: {do: 'close', file: {kind: 'kvm-vfio', pick: 0}}, group: 'done', noncoherent: false},
    ],
  },
  {
    claim: 'unplugging revokes nothing, and a device that comes back is in the same group',
    group: 'of several devices',
    lines: [
      ...attached('of several devices'),
      {does: {do: 'close', file: {kind: 'group', pick: 0}}, group: 'EBUSY', noncoherent: true},
      {does: {do: 'unplug', pci: 1}, group: 'EBUSY', noncoherent: true},
      {does: {do: 'unplug', pci: 1}, group: 'EBUSY', noncoherent: true},
      {does: {do: 'plug', pci: 0}, group: 'EBUSY', noncoherent: true},
      {does: {do: 'remove', pci: 1}, group: 'EBUSY', noncoherent: true},
      {does: {do: 'rescan'}, group: 'EBUSY', noncoherent: true},
      {
        does: {do: 'delete', device: 0, file: {kind: 'container', pick: 0}},
        answer: 'ENOENT',
        group: 'EBUSY',
        noncoherent: true,
      },
      {does: {do: 'close', file: {kind: 'kvm-vfio', pick: 0}}, group: 'done', noncoherent: false},
    ],
  },
  {
    claim:
      'unplugging the last device revokes nothing either, until KVM looks again, and what comes back is another group',
    group: 'of one device',
    lines: [
      ...attached('of one device'),
      {does: {do: 'unplug', pci: 4}, group: 'ENOENT', noncoherent: true},
      {does: {do: 'plug', pci: 0}, group: 'done', noncoherent: true},
      // only the new group can be opened, and it is another file to KVM; before 6.2 it would need its container
      {does: {do: 'open group', group: 2}, group: 'EBUSY', noncoherent: true},
      {
        does: {do: 'add', device: 0, file: {kind: 'group', pick: 1}},
        group: 'EBUSY',
        noncoherent: rule === 'devices',
      },
      {
        does: {do: 'add', device: 0, file: {kind: 'group', pick: 0}},
        answer: 'EEXIST',
        group: 'EBUSY',
        noncoherent: rule === 'devices',
      },
      {does: {do: 'delete', device: 0, file: {kind: 'group', pick: 1}}, group: 'EBUSY', noncoherent: false},
      {does: {do: 'close', file: {kind: 'group', pick: 1}}, group: 'done', noncoherent: false},
    ],
  },
  {
    claim: 'KVM looks again at a DEL that is refused, and takes note that the last device has gone',
    group: 'of one device',
    lines: [
      ...attached('of one device'),
      {does: {do: 'unplug', pci: 4}, group: 'ENOENT', noncoherent: true},
      {
        does: {do: 'delete', device: 0, file: {kind: 'vm', pick: 0}},
        answer: 'ENOENT',
        group: 'ENOENT',
        noncoherent: false,
      },
    ],
  },
  {
    claim: 'the end of the VM frees the group',
    group: 'of one device',
    lines: [
      ...attached('of one device'),
      {does: {do: 'close', file: {kind: 'group', pick: 0}}, group: 'EBUSY', noncoherent: true},
      {does: {do: 'close', file: {kind: 'vm', pick: 0}}, group: 'EBUSY', noncoherent: true},
      {does: {do: 'close', file: {kind: 'kvm-vfio', pick: 0}}, group: 'done', noncoherent: false},
    ],
  },
];

const attached = (group: Dialogue['group']): Line[] => [
  {does: {do: 'create VM'}, group: 'done', noncoherent: false},
  {does: {do: 'create device', vm: 0}, group: 'done', noncoherent: false},
  {does: {do: 'open group', group: group === 'of one device' ? 2 : 1}, group: 'EBUSY', noncoherent: false},
  {does: {do: 'open container'}, group: 'EBUSY', noncoherent: false},
  {does: {do: 'set container', group: 0, container: 0}, group: 'EBUSY', noncoherent: false},
  {does: {do: 'set IOMMU', container: 0}, group: 'EBUSY', noncoherent: false},
  {does: {do: 'add', device: 0, file: {kind: 'group', pick: 0}}, group: 'EBUSY', noncoherent: true},
];
