import {constants} from 'node:os';
import type {Failure} from '../failure.js';
import {SyscallError} from '../linux/errno.js';
import type {OwnerWay} from '../owner/owner.js';
import {refused} from './apply.js';
import {simulatedRefusal, type SimulationInput} from './simulate.js';

/** The refusal that a plan is certain to meet, in the words of the real one; null when none is certain. */
export const predictedRefusal = (parts: Omit<SimulationInput, 'outcome'>, way: OwnerWay): Failure | null => {
  const ahead = simulatedRefusal({...parts, outcome: null});
  if (ahead === null) return null;
  const {step, answer} = ahead;
  const request = step.action === 'create-device' ? 'KVM_CREATE_DEVICE' : 'KVM_SET_DEVICE_ATTR';
  return refused(step, new SyscallError(`ioctl(${request})`, constants.errno[answer]), way);
};
