import assert from 'node:assert/strict';
import type {Binding} from '../../../src/vfio/bind/binding.js';
import {describeDriverStep, stepsBetween, writeOf} from '../../../src/vfio/bind/steps.js';

const device = {address: '0000:01:00.0', path: '/sys/devices/pci0000:00/0000:01:00.0', id: '8086:10d3'};
const NAMES = [null, 'e1000e', 'vfio-pci', 'pci-stub'];
const BINDINGS: Binding[] = NAMES.flatMap((driver) => NAMES.map((override) => ({driver, override})));

/** What the kernel would make of the steps; a driver whose override names another one cannot be bound. */
const carryOut = (now: Binding, goal: Binding): Binding => {
  const state = {...now};
  for (const step of stepsBetween(device, now, goal)) {
    switch (step.action) {
      case 'override':
        assert.equal(state.override, step.from);
        state.override = step.to;
        break;
      case 'unbind':
        assert.equal(state.driver, step.driver);
        state.driver = null;
        break;
      case 'bind':
        assert.equal(state.driver, null);
        assert.equal(state.override, step.driver, 'nobody else may take it meanwhile');
        state.driver = step.driver;
        break;
      case 'probe':
      case 'own':
        assert.fail();
    }
  }
  return state;
};

describe('the steps from one binding to another', () => {
  it('lead there, from everywhere', () => {
    for (const now of BINDINGS) for (const goal of BINDINGS) assert.deepEqual(carryOut(now, goal), goal);
  });

  it('are none where nothing is to be done', () => {
    for (const binding of BINDINGS) assert.deepEqual(stepsBetween(device, binding, binding), []);
  });

  it('write what the kernel expects', () => {
    const steps = stepsBetween(
      device,
      {driver: 'vfio-pci', override: 'vfio-pci'},
      {driver: 'e1000e', override: null},
    );
    assert.deepEqual(steps.map(writeOf), [
      {path: `${device.path}/driver_override`, text: 'e1000e\n'},
      {path: '/sys/bus/pci/drivers/vfio-pci/unbind', text: device.address},
      {path: '/sys/bus/pci/drivers/e1000e/bind', text: device.address},
      {path: `${device.path}/driver_override`, text: '\n'},
    ]);
    assert.deepEqual(steps.map(describeDriverStep).at(-1), {
      does: 'clear the override of 0000:01:00.0',
      undo: 'set the override of 0000:01:00.0 to e1000e',
    });
  });
});
