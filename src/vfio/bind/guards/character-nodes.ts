import {parseDeviceNumber} from '../../group-node.js';
import {holdersText, openersOf} from '../../holders.js';
import {isBelow, namesIn, resolved, textOf, type GuardContext} from './guard.js';

const CHARACTER = '/sys/dev/char';

/**
 * Which character devices of a PCI device processes have open, in words. Such a program is cut off when the driver goes:
 * the kernel waits for none of them.
 *
 * @param classes names under /sys/class
 */
export const openedNodes = (
  {tree, live}: GuardContext,
  devicePath: string,
  classes: readonly string[],
): string[] => {
  if (!live) return [];
  const nodes = namesIn(tree, CHARACTER).flatMap((text) => {
    const path = resolved(tree, CHARACTER, text);
    const number = parseDeviceNumber(text);
    if (path === null || number === null || !isBelow(path, devicePath)) return [];
    const kind = resolved(tree, path, 'subsystem');
    const [, name] = /^DEVNAME=(.*)$/m.exec(textOf(tree, `${path}/uevent`) ?? '') ?? [];
    return kind !== null && classes.includes(kind.slice(kind.lastIndexOf('/') + 1)) && name !== undefined
      ? [{name, number}]
      : [];
  });
  const openers = openersOf(
    'character',
    nodes.map(({number}) => number),
  );
  return nodes.flatMap(({name, number}) => {
    const holders = openers.get(number);
    return holders === undefined ? [] : [`/dev/${name} is open in ${holdersText(holders)}`];
  });
};
