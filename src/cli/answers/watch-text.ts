import type {ChalkInstance} from 'chalk';
import {printable} from '../../printable.js';
import type {WatchLine} from '../../watch/watch-line.js';

/** A line for people: the time (UTC), what it is about, and what has become of it. */
export const watchText = (line: WatchLine, paint: ChalkInstance): string =>
  [paint.dim(`${line.time.slice(11, 19)}Z`), subjectOf(line), ...wordsOf(line, paint)].join('  ');

const subjectOf = ({kind, device, group, vm}: WatchLine): string => {
  if (device !== null) return `device ${printable(device.address)}`;
  if (group !== null) return `group ${group.group}`;
  if (vm !== null) return `vm ${vm.pid} ${printable(vm.name ?? vm.command)}`;
  return kind;
};

const wordsOf = (line: WatchLine, paint: ChalkInstance): string[] => {
  const {event, changes} = line;
  if (event === 'lost') return [paint.yellow('the kernel dropped messages; kvfio reads everything again')];
  if (event !== 'changed')
    return [EVENT_PAINT[event] === undefined ? event : paint[EVENT_PAINT[event]](event), ...factsOf(line)];
  return changes.map(({field, before, after}) => printable(`${field} ${text(before)} -> ${text(after)}`));
};

const text = (value: string | null): string => (value === null || value === '' ? 'none' : value);

const EVENT_PAINT: Partial<Record<WatchLine['event'], 'green' | 'red'>> = {appeared: 'green', gone: 'red'};

const factsOf = ({device, group, vm}: WatchLine): string[] => {
  if (device !== null)
    return [printable(`driver ${text(device.driver)}`), printable(device.name ?? device.ids ?? '')];
  if (group !== null) return [`assignable ${group.assignable}`, group.snoop];
  if (vm !== null) return [vm.coherency.state];
  return [];
};
