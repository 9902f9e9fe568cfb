import type {SeriesName} from './series-document.js';

const PHASES: Record<SeriesName['phase'], string> = {
  alone: '',
  coherent: ' before the groups',
  attached: ' with the groups',
  deleted: ' after the groups',
};

/** The name of a series for people: `WBINVD with the groups`. A document of a newer kvfio may have phases that this one has no words for. */
export const seriesName = ({operation, phase}: SeriesName): string =>
  `${operation.toUpperCase()}${phaseWords(phase)}`;

export const phaseWords = (phase: SeriesName['phase']): string =>
  (PHASES as Partial<Record<string, string>>)[phase] ?? ` (${phase})`;
