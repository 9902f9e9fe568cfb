import type {DriverStepText} from './bind-document.js';
import {VFIO_DRIVER} from '../../iommu/device.js';
import {sameBinding, type Binding, type BindTarget} from './binding.js';

/** One write to sysfs, or one change of a node's owner. */
export type DriverStep =
  | {action: 'override'; device: BindTarget; from: string | null; to: string | null}
  | {action: 'unbind'; device: BindTarget; driver: string}
  | {action: 'bind'; device: BindTarget; driver: string}
  /** The kernel looks for a driver that wants the device (drivers_probe). */
  | {action: 'probe'; device: BindTarget}
  | {action: 'own'; node: string; group: number; uid: number; user: string};

/** A binding to reach; `any` is whatever the kernel chooses when nothing is said. */
export type Goal = Binding | 'any';

/** Whether a device has what it was to have; the kernel may choose every driver but one of VFIO's. */
export const reaches = (now: Binding, goal: Goal): boolean =>
  goal === 'any'
    ? now.override === null && (now.driver === null || !VFIO_DRIVER.test(now.driver))
    : sameBinding(now, goal);

/**
 * The writes that lead a device from one binding to another.
 *
 * While the device changes hands its override names the driver that is to have it, so that nobody else's probe, such as
 * that of a module that is loaded meanwhile, gives it to a third.
 */
export const stepsBetween = (device: BindTarget, now: Binding, goal: Goal): DriverStep[] => {
  const steps: DriverStep[] = [];
  let override = now.override;
  const setOverride = (to: string | null): void => {
    if (override !== to) steps.push({action: 'override', device, from: override, to});
    override = to;
  };
  const unbind = (): void => {
    if (now.driver !== null) steps.push({action: 'unbind', device, driver: now.driver});
  };
  if (goal === 'any') {
    setOverride(null);
    unbind();
    steps.push({action: 'probe', device});
  } else if (sameBinding(now, goal)) {
    return [];
  } else if (now.driver === goal.driver) {
    setOverride(goal.override);
  } else if (goal.driver === null) {
    unbind();
    setOverride(goal.override);
  } else {
    setOverride(goal.driver);
    unbind();
    steps.push({action: 'bind', device, driver: goal.driver});
    setOverride(goal.override);
  }
  return steps;
};

export const describeDriverStep = (step: DriverStep): DriverStepText => {
  switch (step.action) {
    case 'override':
      return {
        does: overrideText(step.device, step.to),
        undo: overrideText(step.device, step.from),
      };
    case 'unbind':
      return {
        does: `unbind ${step.device.address} from ${step.driver}`,
        undo: `bind ${step.device.address} to ${step.driver}`,
      };
    case 'bind':
      return {
        does: `bind ${step.device.address} to ${step.driver}`,
        undo: `unbind ${step.device.address} from ${step.driver}`,
      };
    case 'probe':
      return {does: `let the kernel find a driver for ${step.device.address}`, undo: null};
    case 'own':
      return {does: `give ${step.node} to ${step.user}`, undo: `give ${step.node} back`};
  }
};

/** The file that a step writes to, and what. Null for a node's owner. */
export const writeOf = (step: DriverStep): {path: string; text: string} | null => {
  switch (step.action) {
    case 'override':
      return {path: `${step.device.path}/driver_override`, text: `${step.to ?? ''}\n`};
    case 'unbind':
    case 'bind':
      return {path: `${DRIVERS}/${step.driver}/${step.action}`, text: step.device.address};
    case 'probe':
      return {path: '/sys/bus/pci/drivers_probe', text: step.device.address};
    case 'own':
      return null;
  }
};

export const DRIVERS = '/sys/bus/pci/drivers';

const overrideText = ({address}: BindTarget, name: string | null): string =>
  name === null ? `clear the override of ${address}` : `set the override of ${address} to ${name}`;
