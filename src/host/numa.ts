import type {Attributes} from './attributes.js';

/** The NUMA nodes of a machine that are online, and how far they are from each other. */
export interface NumaNodes {
  /** Numbers of the nodes in ascending order. */
  online: readonly number[];
  /** Distance from one node to another, in the units of the firmware's SLIT, where 10 is a node itself; null when it is not shown. */
  distance: (from: number, to: number) => number | null;
}

const NODES = '/sys/devices/system/node';

/**
 * Null on a machine that shows no nodes: a kernel without CONFIG_NUMA, or a snapshot that kvfio 0.2.0 or older took. Null with a
 * warning for a list that no kernel writes.
 */
export const readNumaNodes = (attributes: Attributes): NumaNodes | null => {
  const list = attributes.text(`${NODES}/online`);
  if (list === null) return null;
  const online = numbersOf(list);
  if (online === null) {
    attributes.malformed(`${NODES}/online`, 'it lists no NUMA nodes that a kernel can have');
    return null;
  }
  const rows = new Map(online.map((node) => [node, readRow(attributes, node, online.length)]));
  return {online, distance: (from, to) => rows.get(from)?.[online.indexOf(to)] ?? null};
};

/** One number for each node that is online (drivers/base/node.c, node_read_distance()). */
const readRow = (attributes: Attributes, node: number, count: number): number[] | null => {
  const numbers = (attributes.text(`${NODES}/node${node}/distance`) ?? '').split(/\s+/).map(Number);
  return numbers.length === count && numbers.every((each) => Number.isInteger(each) && each > 0)
    ? numbers
    : null;
};

/** MAX_NUMNODES where NODES_SHIFT is highest (arch/x86/Kconfig, arch/arm64/Kconfig; Linux 6.12). */
const MOST_NODES = 1024;

/** Takes a list such as `0-1,4` apart (lib/vsprintf.c, `%*pbl`); null when it is none, or no list of nodes. */
const numbersOf = (list: string): number[] | null => {
  const numbers = new Set<number>();
  for (const part of list.split(',')) {
    const [, first, last = first] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part) ?? [];
    if (Number(first) > Number(last) || !(Number(last) < MOST_NODES)) return null;
    for (let node = Number(first); node <= Number(last); node++) numbers.add(node);
  }
  return [...numbers].sort((a, b) => a - b);
};
