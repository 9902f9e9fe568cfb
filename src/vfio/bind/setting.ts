import {DirectoryTree} from '../../host/directory-tree.js';
import {DetachedWriter, type AttributeWriter} from '../../linux/attribute-writer.js';
import type {Descriptor} from '../../linux/descriptor.js';
import type {HostTree} from '../../host/tree.js';
import {interfaceAddresses, type InterfaceAddress} from '../../linux/socket/interface-addresses.js';
import {BIND_FOLDER, type Observer} from './journal.js';
import {loadModule} from './load-module.js';
import {hostNodes, type Nodes} from './node-owner.js';

/** Everything outside that binding drivers rests on. */
export interface BindSetting {
  tree: HostTree;
  /** Folder of journals and locks. */
  folder: string;
  nodes: Nodes;
  /** @param inherit what has to stay locked until the last write is over */
  writer: (seconds: number, inherit: readonly Descriptor[]) => AttributeWriter & Partial<AsyncDisposable>;
  addresses: () => InterfaceAddress[];
  /** Throws a `Failure`. */
  loadModule: (name: string) => Promise<void>;
  /** Receives each change when it has been made. */
  observe: Observer;
}

/** A folder without journals: nobody can make one in /proc. */
const NO_JOURNALS = '/proc/kvfio';

/** A machine of which there are only files, for dry runs. */
export const filesAlone = (tree: HostTree): BindSetting => ({
  ...hostSetting(),
  tree,
  folder: NO_JOURNALS,
  nodes: {...hostNodes, owner: () => null},
  addresses: () => [],
});

/** The setting of this machine. */
export const hostSetting = (): BindSetting => ({
  tree: new DirectoryTree(),
  folder: BIND_FOLDER,
  nodes: hostNodes,
  writer: (seconds, inherit) => new DetachedWriter({seconds, inherit}),
  addresses: interfaceAddresses,
  loadModule,
  observe: () => undefined,
});
