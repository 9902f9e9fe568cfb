import type {Operation, Phase} from './series.js';

/** When a series was measured, by the names that people read. A run without groups is `alone`. */
export type When = 'alone' | 'before-groups' | 'with-groups' | 'after-groups';

const PHASES: Record<Phase, {when: When; words: string}> = {
  alone: {when: 'alone', words: ''},
  coherent: {when: 'before-groups', words: ' before the groups'},
  attached: {when: 'with-groups', words: ' with the groups'},
  deleted: {when: 'after-groups', words: ' after the groups'},
};

/** The name of a series for people: `WBINVD with the groups`. */
export const seriesName = ({operation, phase}: {operation: Operation; phase: Phase}): string =>
  `${operation.toUpperCase()}${phaseWords(phase)}`;

export const phaseWords = (phase: Phase): string => known(phase)?.words ?? ` (${phase})`;

/** A phase of a newer kvfio, which this one has no words for, keeps its name. */
export const whenOf = (phase: Phase): When => known(phase)?.when ?? (phase as string as When);

/** A document may come from a newer kvfio. */
const known = (phase: Phase): (typeof PHASES)[Phase] | undefined => (PHASES as Partial<typeof PHASES>)[phase];
