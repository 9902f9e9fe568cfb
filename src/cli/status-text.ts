import type {ChalkInstance} from 'chalk';
import type {StatusDocument, StatusFile} from '../kvm-vfio/status.js';
import {coherencyText, fileText, verdictText, vmLine} from './change-text.js';
import {printable} from './printable.js';

/** The answer of `kvfio status` for people. */
export const statusLines = (document: StatusDocument, paint: ChalkInstance): string[] => {
  const {vm, via, device, files, coherency} = document;
  return [
    vmLine(vm, via),
    `kvm-vfio device: ${deviceText(device)}`,
    ...files.map((file) => fileLine(file)),
    `now: ${coherencyText(coherency, paint)}`,
  ];
};

const deviceText = ({fd, all}: StatusDocument['device']): string => {
  if (fd !== null) return `descriptor ${fd}`;
  return all.length === 0 ? 'none' : `one of descriptors ${all.join(', ')}`;
};

const fileLine = (file: StatusFile): string => {
  const parts = [
    REGISTERED.get(file.registered) ?? '',
    verdictText(file),
    `descriptor ${file.fd}${file.given === true ? ', handed over by kvfio' : ''}`,
    file.kind === 'group' ? file.devices.join(' ') : '',
  ];
  return printable(`${fileText(file)}: ${parts.filter(Boolean).join(', ')}`);
};

const REGISTERED = new Map<boolean | null, string>([
  [true, 'registered'],
  [false, 'not registered'],
  [null, 'registration unknown (see --verify)'],
]);
