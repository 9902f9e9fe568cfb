import {openedNodes} from './character-nodes.js';
import {treeText, type Guard} from './guard.js';

/**
 * The display that the firmware started the machine on (drivers/pci/vgaarb.c, boot_vga), and one that a program, such as
 * a display server, works with.
 */
export const displayGuard: Guard = (context) =>
  context.devices.flatMap(({address, path}) =>
    [
      ...(treeText(context.tree, `${path}/boot_vga`) === '1'
        ? ['it is the boot display (boot_vga is 1)']
        : []),
      ...openedNodes(context, path, ['drm', 'graphics']),
    ].map((found) => ({guard: 'display', device: address, found})),
  );
