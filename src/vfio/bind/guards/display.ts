import {textOf, type Guard} from './guard.js';

/** The display that the firmware started the machine on (drivers/pci/vgaarb.c, boot_vga). */
export const displayGuard: Guard = ({tree, devices}) =>
  devices
    .filter(({path}) => textOf(tree, `${path}/boot_vga`) === '1')
    .map(({address}) => ({
      guard: 'display',
      device: address,
      found: 'it is the boot display (boot_vga is 1)',
    }));
