import {Failure} from '../../failure.js';
import type {HostTree} from '../../host/tree.js';
import type {Host} from '../../iommu/host.js';
import type {ClassFilter} from '../../pci/class.js';
import type {RankingOptions} from '../groups-document.js';
import {readRankFacts} from './rank-facts.js';

/** What a user asks a ranking for. */
export interface RankingWish {
  for?: ClassFilter[] | undefined;
  /** The NUMA node that the VM runs on. */
  numa?: number | undefined;
  coherent?: boolean | undefined;
}

/**
 * Reads what a ranking rests on beside `host`, which has all groups of the machine.
 *
 * @throws {@link Failure} for a NUMA node that the machine does not have
 */
export const rankingOf = (tree: HostTree, host: Host, wish: RankingWish): RankingOptions => {
  const {for: kinds = null, numa = null, coherent = false} = wish;
  const facts = readRankFacts(tree, host);
  const online = facts.nodes?.online;
  if (numa !== null && online !== undefined && !online.includes(numa))
    throw new Failure({
      code: 'NUMA_NODE_NOT_FOUND',
      kind: 'notFound',
      what: `There is no NUMA node ${numa}.`,
      why: `The nodes of this machine are ${online.join(', ')}.`,
      hint: 'Name one of these, or leave --numa out.',
    });
  return {for: kinds, coherent, question: {...facts, numa}};
};
