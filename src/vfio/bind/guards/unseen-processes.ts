import type {GuardContext} from './guard.js';

/**
 * Says that processes into which kvfio may not look, as in a container, may have something open: a doubt in a dry run, and
 * otherwise a finding in words.
 *
 * @param names of what the guard would have to know about
 */
export const unseenProcesses = (
  {openNodes, passive, doubt}: GuardContext,
  names: readonly string[],
): string[] => {
  if (names.length === 0) return [];
  const {hidden} = openNodes();
  if (hidden === 0) return [];
  const processes = hidden === 1 ? 'a process, which' : `${hidden} processes, any of which`;
  const what = `kvfio may not look into ${processes} may have ${anyOf(names)} open`;
  if (!passive) return [what];
  doubt({code: 'NOT_SEEN', message: what});
  return [];
};

const anyOf = (names: readonly string[]): string => {
  const parts = names.length > NAMED ? [...names.slice(0, NAMED), `${names.length - NAMED} more`] : names;
  return [parts.slice(0, -1).join(', '), ...parts.slice(-1)].filter((part) => part !== '').join(' or ');
};

const NAMED = 8;
