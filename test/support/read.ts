import {groupsDocument, type GroupsDocument} from '../../src/groups/groups-document.js';
import {readHost, type Host, type HostOptions} from '../../src/iommu/host.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {examine} from '../../src/vfio/eligibility/examined.js';
import {machine, type MachineSpec} from './machine.js';

/** What kvfio reads of a machine that exists only for this call. */
export const read = (spec: MachineSpec, options: HostOptions = {}): Host => {
  using built = machine(spec);
  return readHost(new DirectoryTree(built.root), options);
};

/** The same as the whole document, with paths, regions and explanations; `files` are written beside those of the machine. */
export const readDocument = (spec: MachineSpec, files: Record<string, string> = {}): GroupsDocument => {
  using built = machine(spec);
  for (const [path, text] of Object.entries(files)) built.write(path, text);
  const tree = new DirectoryTree(built.root);
  const host = readHost(tree, {paths: true, regions: true});
  return groupsDocument(host, null, {explain: true, regions: true, examined: examine(tree, host)});
};

/** The explanation of the only group of a machine, as one text. */
export const explain = (spec: MachineSpec): string =>
  readDocument(spec).groups[0]?.explanation?.join('\n') ?? '';
