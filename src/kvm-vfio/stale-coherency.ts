import type {Remark} from './change-document.js';
import type {HeldFile} from './vm-state.js';

/**
 * VFIO's answer to KVM about a file, if KVM has not looked again as far as kvfio knows. The record has the answer
 * when kvfio last had it look; but the VMM may have had it look since, which leaves no trace. So where the note differs
 * from VFIO's present answer, it is unknown which of the two holds. So it is without a note, where all devices have
 * gone meanwhile.
 */
export const asRecorded = <T extends HeldFile>(file: T): T =>
  isStale(file) || (file.gone && file.decided === null)
    ? {...file, verdict: 'unknown', confidence: 'none'}
    : file;

export const isStale = ({decided, verdict}: HeldFile): boolean =>
  decided !== null && decided.verdict !== verdict;

/** @param file - one that {@link isStale} */
export const staleRemark = ({name, decided, verdict}: HeldFile): Remark => ({
  code: 'NOTE_IN_DOUBT',
  message: `KVM judged ${name} ${decided?.verdict ?? 'unknown'} when kvfio last changed the VM, and would judge it ${verdict} now; the VMM may have made KVM judge again since, so the state of the VM is unknown`,
});
