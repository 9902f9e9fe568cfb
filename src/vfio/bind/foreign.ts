import type {GuardFinding} from './bind-document.js';
import type {GuardName} from './guards/guard-table.js';
import type {Member} from './members.js';
import type {Judgement} from './judge.js';

/**
 * What VFIO has of the members that were asked for, and kvfio did not give it: whose that is, nobody knows but who did. A group is
 * returned as far as it is kvfio's, with a warning of the rest; a device that is named is refused.
 */
export const foreignFindings = (
  foreign: readonly Member[],
  force: readonly GuardName[],
): Pick<Judgement, 'overruled' | 'refused' | 'doubts'> => {
  const findingsOf = (members: readonly Member[]): GuardFinding[] =>
    members.map(({device: {address}}) => ({
      guard: 'foreign',
      device: address,
      found: 'kvfio did not give it to VFIO',
    }));
  return force.includes('foreign')
    ? {overruled: findingsOf(foreign), refused: [], doubts: []}
    : {
        overruled: [],
        refused: findingsOf(foreign.filter(({named}) => named)),
        doubts: foreign
          .filter(({named}) => !named)
          .map(({device: {address}}) => ({
            code: 'FOREIGN' as const,
            message: `${address} stays with VFIO: kvfio did not bind it`,
          })),
      };
};
