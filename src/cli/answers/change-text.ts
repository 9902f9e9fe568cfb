import type {ChalkInstance} from 'chalk';
import type {ChangedFile, ChangeDocument, FileIdentity, VmIdentity} from '../../kvm-vfio/change-document.js';
import type {Coherency} from '../../kvm-vfio/coherency.js';
import type {OwnerWay} from '../../owner/owner.js';
import {printable} from '../../printable.js';

/** The answer of the commands that change a VM's kvm-vfio device, for people. */
export const changeLines = (document: ChangeDocument, paint: ChalkInstance): string[] => {
  const {vm, via, device, files, before, after, dryRun} = document;
  return [
    vmLine(vm, via),
    `kvm-vfio device: ${DEVICE[device.state]}${device.fd === null ? '' : `, descriptor ${device.fd}`}`,
    ...files.map((file) => fileLine(file)),
    ...(dryRun ? stepLines(document) : []),
    `before: ${coherencyText(before, paint)}`,
    `${dryRun ? 'then' : 'now'}: ${coherencyText(after, paint)}${!dryRun && after.state === 'unknown' ? toLearn(vm) : ''}`,
    ...(!dryRun && document.changed === false ? ['nothing to do'] : []),
  ];
};

const toLearn = ({pid}: VmIdentity): string => ` ("kvfio status --pid ${pid} --verify" asks KVM)`;

/** `VM of process 4711 (qemu-system-x86), descriptor 13, by inject`. */
export const vmLine = ({pid, command, fd, socket}: VmIdentity, via: OwnerWay): string =>
  printable(
    `VM of process ${pid} (${command}), descriptor ${fd}${socket === null ? '' : `, at ${socket}`}, by ${via}`,
  );

/** `coherent: WBINVD is skipped`. */
export const coherencyText = ({state, wbinvd}: Coherency, paint: ChalkInstance): string => {
  const colour = state === 'coherent' ? paint.green : paint.yellow;
  return `${colour(state)}: ${wbinvd}`;
};

export const verdictText = ({verdict}: Pick<ChangedFile, 'verdict'>): string =>
  `snoop control ${verdict === 'not-enforced' ? 'not enforced' : verdict}`;

const DEVICE: Record<ChangeDocument['device']['state'], string> = {
  created: 'created',
  found: 'found',
  closed: 'closed',
  none: 'none',
  'to-be-created': 'to be created',
  'to-be-closed': 'to be closed',
};

/** `group 12`, or `cdev 0000:01:00.0 of group 12`. */
export const fileText = ({group, cdev}: FileIdentity): string =>
  cdev === null ? `group ${group}` : `cdev ${cdev}${group === null ? '' : ` of group ${group}`}`;

const fileLine = (file: ChangedFile): string => {
  const descriptor = file.fd === null ? '' : `, descriptor ${file.fd} of the owner`;
  const outcome = file.outcome === 'planned' ? '' : `${OUTCOME[file.outcome]}, `;
  // of what KVM was never given there is no verdict to report
  if (file.outcome === 'absent') return printable(`${fileText(file)}: ${OUTCOME.absent}`);
  return printable(`${fileText(file)}: ${outcome}${verdictText(file)}${descriptor}`);
};

const OUTCOME: Record<Exclude<ChangedFile['outcome'], 'planned'>, string> = {
  added: 'added',
  already: 'was added already',
  deleted: 'deleted',
  absent: 'was not added',
};

const stepLines = ({steps}: ChangeDocument): string[] =>
  steps.length === 0
    ? ['nothing to do']
    : steps.map(
        ({does, undo}, index) =>
          `${index + 1}. ${printable(does)}${undo === null ? '' : printable(` (undone by: ${undo})`)}`,
      );
