import type {ChalkInstance} from 'chalk';
import type {StatusDocument, StatusFile} from '../../kvm-vfio/status.js';
import {coherencyText, fileText, verdictText, vmLine} from './change-text.js';
import {printable} from '../../printable.js';

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

/** Why a VM is not in the state that `--expect` asks for: it is in the other, nobody has looked, or a look did not decide. */
export const unexpectedLine = (
  {asExpected, expected, coherency, via}: StatusDocument,
  {verify}: {verify: boolean},
): string => {
  if (asExpected === false)
    return `The VM is ${coherency.state}, and --expect asks for ${expected ?? ''}: ${coherency.wbinvd}.`;
  return verify
    ? `Whether the VM is ${expected ?? ''} is unknown: kvfio looked by ${via}, and the look did not decide it. The warnings say why.`
    : `Whether the VM is ${expected ?? ''} is unknown, because kvfio has not asked KVM. Add --verify to ask.`;
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
