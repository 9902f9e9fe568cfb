import type {HostTree} from '../../../host/tree.js';
import {parseDeviceNumber} from '../../group-node.js';
import {holdersText} from '../../holders.js';
import {isBelow, folderNames, resolved, treeText, type CharacterDevice, type GuardContext} from './guard.js';
import {unseenProcesses} from './unseen-processes.js';

const CHARACTER = '/sys/dev/char';

/** The character devices of the machine. */
export const readCharacterDevices = (tree: HostTree): CharacterDevice[] =>
  folderNames(tree, CHARACTER).flatMap((text) => {
    const path = resolved(tree, CHARACTER, text);
    const number = parseDeviceNumber(text);
    return path === null || number === null ? [] : [{path, number}];
  });

/**
 * Which character devices of a PCI device processes have open, or may have, in words. Such a program is cut off when the
 * driver goes: the kernel waits for none of them.
 *
 * @param classes names under /sys/class
 */
export const openedNodes = (
  context: GuardContext,
  devicePath: string,
  classes: readonly string[],
): string[] => {
  const {tree, live, characterDevices, openNodes} = context;
  if (!live) return [];
  const nodes = characterDevices().flatMap(({path, number}) => {
    if (!isBelow(path, devicePath)) return [];
    const kind = resolved(tree, path, 'subsystem');
    const [, name] = /^DEVNAME=(.*)$/m.exec(treeText(tree, `${path}/uevent`) ?? '') ?? [];
    return kind !== null && classes.includes(kind.slice(kind.lastIndexOf('/') + 1)) && name !== undefined
      ? [{name: `/dev/${name}`, holders: openNodes().character.get(number)}]
      : [];
  });
  return [
    ...nodes.flatMap(({name, holders}) =>
      holders === undefined ? [] : [`${name} is open in ${holdersText(holders)}`],
    ),
    ...unseenProcesses(
      context,
      nodes.flatMap(({name, holders}) => (holders === undefined ? [name] : [])),
    ),
  ];
};
