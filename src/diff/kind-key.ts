import {createHash} from 'node:crypto';
import {KERNEL_FACTS} from './kernel.js';
import type {ComparedMachine} from './machine.js';
import {unitFacts} from './units.js';

/** What is the same for two machines when nothing differs of them, and only then: a digest, so that a fleet's keys take little memory. */
export const kindKey = ({kernel, units, groups, devices}: ComparedMachine): string =>
  createHash('sha256')
    .update(
      JSON.stringify([
        Object.values(KERNEL_FACTS).map((fact) => fact(kernel)),
        units.map((unit) => Object.entries(unitFacts(unit))),
        groups.map(({group, snoop, assignable, afterBind}) => [group, snoop, assignable, afterBind]),
        devices.map((device) => [
          device.address,
          device.place,
          device.ids,
          device.group,
          device.driver,
          device.iommu,
          device.snoop,
          device.assignable,
          device.afterBind,
        ]),
      ]),
    )
    .digest('base64');
