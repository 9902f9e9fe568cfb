import {isOneUser} from './user-ids.js';

/** Users who may have kvfio, and processes of its user, do something: root and that user. */
export const trustedUsers = (): ReadonlySet<number> =>
  new Set([0, process.geteuid?.() ?? 0].filter(isOneUser));
