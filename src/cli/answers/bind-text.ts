import type {ChalkInstance} from 'chalk';
import type {BindDocument, BoundDevice, BoundGroup, UnbindDocument} from '../../vfio/bind/bind-document.js';
import {bindingText} from '../../vfio/bind/binding.js';
import {printable} from '../../printable.js';

/** The answer of `kvfio bind` and `kvfio unbind`, for people. */
export const bindLines = (document: BindDocument | UnbindDocument, paint: ChalkInstance): string[] => {
  const {command, devices, groups, overruled, refused, modules, steps, dryRun} = document;
  return [
    ...devices.map((device) => printable(deviceLine(device))),
    ...(dryRun ? modules.map((name) => printable(`load the module ${name}`)) : []),
    ...(dryRun ? stepLines(document) : []),
    ...refused.map(({guard, device, found}) =>
      paint.yellow(printable(`refused: ${device}: ${found} (--force-${guard})`)),
    ),
    ...overruled.map(({device, found}) => printable(`overruled: ${device}: ${found}`)),
    ...groups.flatMap((group) => [
      groupLine(group, {tense: !dryRun ? 'now' : refused.length > 0 ? 'would' : 'will', paint, command}),
      ...obstacleLines(group, {command, paint}),
    ]),
    ...(!dryRun && steps.length === 0 ? ['nothing to do'] : []),
  ];
};

const deviceLine = ({address, name, before, after, outcome, reason, chosen}: BoundDevice): string => {
  const what = `${address}${name === null ? '' : ` ${name}`}`;
  switch (outcome) {
    case 'left-alone':
      return `${what}: left alone, ${reason ?? ''}`;
    case 'gone':
      return `${what}: gone`;
    case 'planned':
    case 'changed':
      return `${what}: ${bindingText(before)} -> ${after.driver === null && outcome === 'planned' && before.driver !== null ? 'whatever the kernel finds' : bindingText(after)}${chosen === null ? '' : ` (${chosen})`}`;
  }
};

const stepLines = ({steps}: BindDocument | UnbindDocument): string[] =>
  steps.length === 0
    ? ['nothing to do']
    : steps.map(
        ({does, undo}, index) =>
          `${index + 1}. ${printable(does)}${undo === null ? '' : printable(` (undone by: ${undo})`)}`,
      );

/** What is said of: how it is now, how it will be, or how it would be if nothing refused. */
type Tense = 'now' | 'will' | 'would';

const groupLine = (
  {group, node, uid, viable, blockers}: BoundGroup,
  {tense, paint, command}: {tense: Tense; paint: ChalkInstance; command: string},
): string => {
  const be = tense === 'now' ? '' : `${tense} be `;
  // that VFIO does not take it any more is what was asked for
  if (command === 'unbind' && viable === false)
    return `group ${group}: ${be}with the host: ${printable(driversText(blockers))}`;
  const because = blockers.length === 0 ? '' : ` because of ${driversText(blockers)}`;
  const where = node === null || tense !== 'now' ? '' : `, ${node} owned by ${ownerText(uid)}`;
  return `group ${group}: ${viableText(viable, {tense, paint, command})}${printable(because)}${printable(where)}`;
};

const viableText = (
  viable: boolean | null,
  {tense, paint, command}: {tense: Tense; paint: ChalkInstance; command: string},
): string => {
  const be = tense === 'now' ? '' : 'be ';
  const verb = tense === 'now' ? '' : `${tense} `;
  if (viable === null)
    return command === 'unbind' ? `${verb}${be}viable unless the kernel finds a driver` : `may be viable`;
  return viable ? paint.green(`${verb}${be}viable`) : paint.yellow(`${verb}not ${be}viable`);
};

/** What a VM cannot have the group for, beside the drivers of its members. */
const obstacleLines = (
  {group, assignable: {obstacles}}: BoundGroup,
  {command, paint}: {command: string; paint: ChalkInstance},
): string[] =>
  command === 'unbind'
    ? []
    : obstacles
        .filter(({check}) => check !== 'drivers' && check !== 'bound')
        .map(({found, cure, certain}) =>
          paint.yellow(
            printable(
              `group ${group}: ${certain ? 'a VM cannot have it' : 'not certain'}: ${found}${cure === null ? '' : `; ${cure}`}`,
            ),
          ),
        );

const driversText = (blockers: BoundGroup['blockers']): string =>
  blockers.map(({address, driver}) => `${address} (${driver})`).join(', ');

const ownerText = (uid: number | null): string =>
  uid === null ? 'an unknown user' : uid === 0 ? 'root' : `user ${uid}`;
