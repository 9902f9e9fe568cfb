import {Failure} from '../failure.js';
import {SyscallError} from '../linux/errno.js';
import {KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD, KVM_DEV_VFIO_FILE_DEL} from '../linux/ioctl.js';
import {readCoherencyRecord} from './coherency-record.js';
import type {Owner} from '../owner/owner.js';
import type {ReachedVm} from '../owner/reach-owner.js';
import {type HeldFile, type VmState} from './vm-state.js';
import {recordDoubts, recordHeld} from './record-coherency.js';
import {explainDeviceRefusal} from './refusal.js';
import {holdingSignalsSync} from '../linux/hold-signals.js';

/**
 * Finds out which of the files that the owner has open are registered with a device: by ADD, which answers EEXIST, or is
 * undone by DEL.
 *
 * @param device - the kvm-vfio device's descriptor in the owner
 * @throws {@link Failure}: refused when that could harm another VM of the owner, kernelRefused
 */
export const verifyHeld = (
  vm: Pick<ReachedVm, 'pid' | 'open'>,
  device: number,
  facts: VmState,
): HeldFile[] => {
  refuseForeign(facts, vm.pid);
  using owner = vm.open();
  try {
    const tried = holdingSignalsSync(() =>
      owner.together(() => facts.held.map((file) => ({file, found: find(owner, device, file)}))),
    ).map(({file, found}) => ({file: {...file, registered: found === 'registered'}, found}));
    const held = tried.map(({file}) => file);
    if (!tried.some(({found}) => found === 'added and deleted')) return held;
    // what was added and deleted again had KVM look at all
    recordHeld(owner, facts);
    return held.map((file) => ({...file, record: readCoherencyRecord(vm.pid, file.fd)}));
  } catch (error) {
    recordDoubts(owner, facts);
    throw error;
  }
};

/** Refuses what may be the device of another VM: there ADD and DEL would delete a file that the VMM itself has registered. */
const refuseForeign = ({several, held}: VmState, pid: number): void => {
  const foreign = several ? held.find(({given}) => given !== true) : undefined;
  if (foreign === undefined) return;
  throw new Failure({
    code: 'VERIFY_SEVERAL_VMS',
    kind: 'refused',
    what: 'kvfio did not determine what is registered.',
    why: `Process ${pid} has several VMs or kvm-vfio devices and opened ${foreign.name} itself: if --device-fd belongs to another VM, adding and deleting it would take it from that VM.`,
    hint: 'Leave out --verify: kvfio then adds nothing, and what is registered stays unknown.',
  });
};

/** `refused`: KVM does not take the file, as a group without a container before Linux 5.19, and so cannot have it. */
type Found = 'registered' | 'added and deleted' | 'refused';

const find = (owner: Owner, device: number, {fd, name}: HeldFile): Found => {
  const what = `kvfio did not determine whether ${name} is registered.`;
  try {
    owner.setDeviceAttr(device, KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD, fd);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (error.code === 'EEXIST') return 'registered';
    if (error.code === 'EINVAL') return 'refused';
    throw new Failure({...explainDeviceRefusal('add', error, owner.way), what, cause: error});
  }
  try {
    owner.setDeviceAttr(device, KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_DEL, fd);
    return 'added and deleted';
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (error.code === 'ENOENT') return 'added and deleted'; // the owner deleted it meanwhile
    const refusal = explainDeviceRefusal('delete', error, owner.way);
    throw new Failure({
      ...refusal,
      code: 'VERIFY_LEFT_ADDED',
      what: `kvfio added ${name} to determine whether it is registered, and could not delete it again.`,
      why: `${refusal.why} The file stays added.`,
      hint: `Delete it with "kvfio delete". ${refusal.hint}`,
      cause: error,
    });
  }
};
