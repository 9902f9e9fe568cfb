import type {Kind} from './kinds.js';

/** What became of an owner. */
export type Ending =
  | {ending: 'undisturbed'; detail: string}
  /** It lives on, and kvfio said why it did nothing. */
  | {ending: 'refused'; detail: string}
  /** It lives on, and kvfio did not do what it was to do, or left something behind. */
  | {ending: 'failed'; detail: string}
  | {ending: 'harmed'; detail: string}
  | {ending: 'NOT RUN'; detail: string};

/** A cell of the table: an owner in a place. */
export type Cell = Ending & {kind: Kind; place: string};

/** Whether it is as it is to be: served, or refused for the reason that no thread of it would do. */
export const isRight = ({ending, detail, kind: {refused, mayBeServed}}: Cell): boolean => {
  if (ending === 'undisturbed') return refused === undefined || mayBeServed === true;
  return ending === 'refused' && refused !== undefined && detail.startsWith(refused);
};
