import type {ChalkInstance} from 'chalk';
import type {StatusDocument, StatusGroup} from '../kvm-vfio/status.js';
import {coherencyText, verdictText, vmLine} from './change-text.js';
import {printable} from './printable.js';

/** The answer of `kvfio status` for people. */
export const statusLines = (document: StatusDocument, paint: ChalkInstance): string[] => {
  const {vm, via, device, groups, coherency} = document;
  return [
    vmLine(vm, via),
    `kvm-vfio device: ${deviceText(device)}`,
    ...groups.map((group) => groupLine(group)),
    `now: ${coherencyText(coherency, paint)}`,
  ];
};

const deviceText = ({fd, all}: StatusDocument['device']): string => {
  if (fd !== null) return `descriptor ${fd}`;
  return all.length === 0 ? 'none' : `one of descriptors ${all.join(', ')}`;
};

const groupLine = (group: StatusGroup): string => {
  const parts = [
    REGISTERED.get(group.registered) ?? '',
    verdictText(group),
    `descriptor ${group.fd}${group.given === true ? ', handed over by kvfio' : ''}`,
    group.devices.join(' '),
  ];
  return printable(`group ${group.group}: ${parts.filter(Boolean).join(', ')}`);
};

const REGISTERED = new Map<boolean | null, string>([
  [true, 'registered'],
  [false, 'not registered'],
  [null, 'registration unknown (see --verify)'],
]);
