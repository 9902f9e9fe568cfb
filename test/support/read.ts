import {groupsDocument, type GroupsDocument} from '../../src/groups/groups-document.js';
import {readHost, type Host, type HostOptions} from '../../src/iommu/host.js';
import {DirectoryTree} from '../../src/linux/directory-tree.js';
import {machine, type MachineSpec} from './machine.js';

/** What kvfio reads of a machine that exists only for this call. */
export const read = (spec: MachineSpec, options: HostOptions = {}): Host => {
  using built = machine(spec);
  return readHost(new DirectoryTree(built.root), options);
};

/** The same as the whole document, with paths, regions and explanations. */
export const readDocument = (spec: MachineSpec): GroupsDocument =>
  groupsDocument(read(spec, {paths: true, regions: true}), null, {explain: true});

/** The explanation of the only group of a machine, as one text. */
export const explain = (spec: MachineSpec): string =>
  readDocument(spec).groups[0]?.explanation?.join('\n') ?? '';
