import type {Finding, GuardName} from './bind-document.js';
import type {PlannedDevice} from './plan.js';
import type {Judgement} from './refuse.js';

/**
 * What VFIO has of the devices that were asked for, and kvfio did not give it: whose that is, nobody knows but who did. Something is
 * refused only when nothing else is left to do, so that a group of both kinds can be returned as far as it is kvfio's.
 */
export const foreignFindings = (
  plan: readonly PlannedDevice[],
  {force, foreign}: {force: readonly GuardName[]; foreign: readonly string[]},
): Pick<Judgement, 'overruled' | 'refused' | 'doubts'> => {
  const found = foreign.map((device): Finding => ({
    guard: 'foreign',
    device,
    found: 'kvfio did not give it to VFIO',
  }));
  if (force.includes('foreign')) return {overruled: found, refused: [], doubts: []};
  return plan.some(({goal}) => goal !== null)
    ? {
        overruled: [],
        refused: [],
        doubts: foreign.map((device) => ({
          code: 'FOREIGN' as const,
          message: `${device} stays with VFIO: kvfio did not bind it`,
        })),
      }
    : {overruled: [], refused: found, doubts: []};
};
