import {readHost, requireGroups, type Host} from '../iommu/host.js';
import type {Group} from '../iommu/group.js';
import {DirectoryTree} from '../host/directory-tree.js';
import type {Vm} from '../kvm/system.js';
import {apply} from '../kvm-vfio/apply.js';
import {vmCoherency, type Coherency} from '../kvm-vfio/coherency.js';
import {readCpu} from '../kvm-vfio/cpu.js';
import {groupWithId} from '../kvm-vfio/vm-state.js';
import {groupCoherency, type FileCoherency} from '../kvm-vfio/model/enforced-coherent.js';
import {attachPlan, detachPlan, type PlannedFile} from '../kvm-vfio/plan.js';
import type {Examined} from '../vfio/eligibility/check.js';
import {examine} from '../vfio/eligibility/examined.js';
import {checkGroupFree, openGroup, requireGroupNode, type Container} from '../vfio/group-file.js';
import {readGroupNodes, type GroupNode} from '../vfio/group-node.js';
import {DirectOwner} from '../owner/direct-owner.js';

/** A group of a paired run, as KVM learns of it. */
export interface PairedGroup extends FileCoherency {
  group: number;
  /** Old name of `group`. */
  id: number;
}

type PlannedGroup = PlannedFile & {node: GroupNode};

/** The groups that are to be added to a VM of kvfio's own, and what that will make of the VM. Nothing is open yet. */
export class PairedGroups {
  readonly groups: readonly PairedGroup[];
  readonly #host: Host;
  readonly #examined: Examined;
  readonly #files: readonly PlannedGroup[];
  readonly #cpu: ReturnType<typeof readCpu>;

  /** @throws {@link Failure} when one does not exist, is not VFIO's, not viable or in use */
  constructor(ids: readonly number[]) {
    const tree = new DirectoryTree();
    const wanted = [...new Set(ids)];
    this.#host = readHost(tree, {onlyGroups: wanted, details: false, noSnoop: false, regions: true});
    this.#examined = examine(tree, this.#host);
    if (wanted.length > 0) requireGroups(this.#host, wanted);
    const nodes = readGroupNodes(tree);
    this.#files = wanted.map((id) => {
      const group = this.#group(id);
      const node = requireGroupNode(nodes, group, this.#examined);
      checkGroupFree(node, group, this.#examined);
      return {name: `group ${id}`, node, fd: null, given: true, container: this.#containerFor(node.path)};
    });
    this.groups = this.#files.map(({node, container}) => ({
      group: node.group,
      id: node.group,
      ...groupCoherency(this.#group(node.group), this.#host.kernel.coherencyRule, container),
    }));
    this.#cpu = readCpu(tree);
  }

  /** What KVM takes the VM for, with the groups or without. */
  coherency(attached: boolean): Coherency {
    const registered = this.groups.map((group) => ({...group, registered: attached}));
    return vmCoherency(registered, this.#host.kernel, this.#cpu);
  }

  /** Prepares a VM of this process for them. Whatever is attached is released when that is disposed of. */
  of(vm: Vm): Attachment {
    return new Attachment(vm, this.#files, ({node, container}) => {
      if (node.kind !== 'group') throw new Error(`${node.path} is not a group`);
      return openGroup(node, {group: this.#group(node.group), examined: this.#examined, container});
    });
  }

  #group(id: number): Group {
    return groupWithId({host: this.#host}, id);
  }

  /** Where the kernel asks the container, a group needs one to be judged by its IOMMU. */
  #containerFor(path: string): Container {
    return this.#host.kernel.coherencyRule === 'devices' || path.includes('noiommu') ? 'none' : 'type1';
  }
}

/** Groups that are, or are not, attached to a VM of this process. */
export class Attachment implements Disposable {
  readonly #owner: DirectOwner;
  readonly #vm: Vm;
  readonly #open: (file: PlannedFile) => ReturnType<typeof openGroup>;
  #files: readonly PlannedFile[];
  #device: number | null = null;

  constructor(
    vm: Vm,
    files: readonly PlannedFile[],
    open: (file: PlannedFile) => ReturnType<typeof openGroup>,
  ) {
    this.#owner = new DirectOwner(vm);
    this.#vm = vm;
    this.#files = files;
    this.#open = open;
  }

  /** @throws {@link Failure}; all is as before then */
  add(): void {
    const outcome = this.#apply(attachPlan({device: this.#device, files: this.#files}));
    this.#device = outcome.device;
    this.#files = this.#files.map((file) => ({...file, fd: outcome.files.get(file.name)?.fd ?? null}));
  }

  /**
   * Deletes the groups, and closes them and the device.
   *
   * @throws {@link Failure}
   */
  delete(): void {
    this.#apply(detachPlan({device: this.#device, files: this.#files}, true));
    this.#device = null;
    this.#files = this.#files.map((file) => ({...file, fd: null}));
  }

  /** Closing the device deletes what is registered with it, and with their descriptors the groups are free. */
  [Symbol.dispose](): void {
    this.#owner[Symbol.dispose]();
  }

  #apply(plan: Parameters<typeof apply>[0]): ReturnType<typeof apply> {
    return apply(plan, {owner: this.#owner, vmFd: this.#vm.fd, open: this.#open});
  }
}
