import type {Remark} from './change-document.js';
import type {HeldFile} from './vm-state.js';

/**
 * A file as KVM judges it now, as far as kvfio knows. The record has VFIO's answer when kvfio last had KVM look. The VMM may
 * have had KVM look since, which leaves no trace: where the record differs from VFIO's present answer, the verdict is unknown.
 * It is also unknown where there is no record and all devices have gone meanwhile.
 */
export const asRecorded = <T extends HeldFile>(file: T): T =>
  isStale(file) || (file.gone && file.record === null)
    ? {...file, verdict: 'unknown', confidence: 'none'}
    : file;

export const isStale = ({record, verdict}: HeldFile): boolean =>
  record !== null && record.verdict !== verdict;

/** @param file - one that {@link isStale} */
export const staleRemark = ({name, record, verdict}: HeldFile): Remark => ({
  code: 'NOTE_IN_DOUBT',
  message: `KVM judged ${name} ${record?.verdict ?? 'unknown'} when kvfio last changed the VM, and would judge it ${verdict} now; the VMM may have made KVM judge again since, so the state of the VM is unknown`,
});
