import type {Verdict} from '../../../src/iommu/snoop-control.js';
import type {FileKind, Vfio} from '../../../src/kvm-vfio/model/device.js';
import {ContainerModel, GroupModel} from '../../../src/kvm-vfio/model/group.js';
import type {KernelRules} from '../../../src/kvm-vfio/model/rules.js';
import {VmModel} from '../../../src/kvm-vfio/model/vm.js';
import type {Machine, Observed} from './observed.js';
import type {Kind, Operation, Ref} from './operation.js';

/** An operation on what there is: descriptors are slots, which are numbered as they are opened; null is not open. */
export type Action =
  | Exclude<Operation, {vm: number} | {device: number} | {file: Ref} | {container: number} | {pci: number}>
  | {do: 'create device' | 'test device'; vm: number}
  | {do: 'has attribute'; device: number; group: number; attr: number}
  | Extract<Operation, {do: 'set nothing'}>
  | {do: 'add' | 'delete'; device: number; file: number | null}
  | {do: 'close'; file: number; last: boolean}
  | {do: 'duplicate'; file: number}
  | {do: 'open group'; group: number}
  | {do: 'open cdev' | 'unplug' | 'plug' | 'remove'; pci: string}
  | {do: 'set container'; group: number; container: number}
  | {do: 'set IOMMU'; container: number}
  | {do: 'unset container'; group: number};

/** An open file, by identity. */
class OpenFile {
  readonly kind: Kind;
  /** Its descriptors, and what in the kernel keeps it open. */
  references = 1;
  /** The VM, of a VM and of its device; the group, of a group; the container likewise; the device's address, of a cdev. */
  readonly vm: VmModel<OpenFile> | null;
  readonly group: GroupModel<string> | null;
  readonly id: number;
  readonly container: ContainerModel | null;
  readonly pci: string | null;

  constructor(kind: Kind, parts: Partial<Pick<OpenFile, 'vm' | 'group' | 'id' | 'container' | 'pci'>> = {}) {
    this.kind = kind;
    this.vm = parts.vm ?? null;
    this.group = parts.group ?? null;
    this.id = parts.id ?? -1;
    this.container = parts.container ?? null;
    this.pci = parts.pci ?? null;
  }
}

const FILE_KINDS: Record<Kind, FileKind> = {
  vm: 'other',
  'kvm-vfio': 'other',
  group: 'group',
  cdev: 'device',
  container: 'other',
  null: 'other',
};

/** More are not made at a time. */
const MOST = {vm: 2, descriptors: 16};

/** A machine as the model has it: what each operation will answer, and what will be seen then. */
export class ModelledMachine {
  readonly #machine: Machine;
  readonly #verdict: Verdict;
  readonly #rules: KernelRules;
  readonly #slots = new Map<number, OpenFile>();
  readonly #groups = new Map<number, GroupModel<string>>();
  /** Group files by group, while there is one. */
  readonly #opened = new Map<GroupModel<string>, OpenFile>();
  readonly #removed = new Set<string>();
  readonly #vms = new Set<VmModel<OpenFile>>();
  readonly #vfio: Vfio<OpenFile>;
  readonly #count: [number, number] = [0, 0];
  #next = 0;

  /** @param verdict - what the IOMMU does for all devices */
  constructor(machine: Machine, verdict: Verdict, rules: KernelRules) {
    this.#machine = machine;
    this.#verdict = verdict;
    this.#rules = rules;
    this.#vfio = {
      kindOf: ({kind}) => FILE_KINDS[kind],
      containerOf: ({group}) => group?.place ?? 'none',
      enforcedCoherent: ({group}) => group?.coherency(rules.coherency) ?? verdict,
    };
    for (const {id, devices} of machine.groups) for (const device of devices) this.#plug(id, device);
  }

  /** What an operation is about now; null when there is nothing that it could be about. */
  actionOf(operation: Operation): Action | null {
    const slot = (kind: Kind, pick: number): number | null => {
      const slots = [...this.#slots].filter(([, file]) => file.kind === kind);
      return slots[pick % slots.length]?.[0] ?? null;
    };
    const full = this.#slots.size >= MOST.descriptors;
    switch (operation.do) {
      case 'create VM': {
        return this.#vms.size < MOST.vm && !full ? operation : null;
      }
      case 'open container':
      case 'open null':
        return full ? null : operation;
      case 'create device':
      case 'test device': {
        const vm = slot('vm', operation.vm);
        return vm === null || full ? null : {do: operation.do, vm};
      }
      case 'has attribute':
      case 'set nothing': {
        const device = slot('kvm-vfio', operation.device);
        return device === null ? null : {...operation, device};
      }
      case 'add':
      case 'delete': {
        const device = slot('kvm-vfio', operation.device);
        const {kind, pick} = operation.file;
        const file = kind === 'closed' ? null : slot(kind, pick);
        return device === null || (file === null && kind !== 'closed')
          ? null
          : {do: operation.do, device, file};
      }
      case 'close': {
        const {kind, pick} = operation.file;
        const file = kind === 'closed' ? null : slot(kind, pick);
        if (file === null) return null;
        const open = this.#at(file);
        const last = [...this.#slots.values()].filter((other) => other === open).length === 1;
        return {do: 'close', file, last};
      }
      case 'duplicate': {
        const {kind, pick} = operation.file;
        const file = kind === 'closed' ? null : slot(kind, pick);
        return file === null || full ? null : {do: 'duplicate', file};
      }
      case 'open group': {
        const group = this.#machine.groups[operation.group % this.#machine.groups.length];
        return group === undefined || full ? null : {do: 'open group', group: group.id};
      }
      case 'open cdev': {
        const pci = this.#pci(operation.pci, (address) => this.#groupWith(address) !== undefined);
        return pci === undefined || !this.#machine.cdevs || full ? null : {do: 'open cdev', pci};
      }
      case 'unplug': {
        const pci = this.#pci(operation.pci, (address) => this.#leaves(address));
        return pci === undefined ? null : {do: 'unplug', pci};
      }
      case 'plug': {
        const pci = this.#pci(
          operation.pci,
          (address) => this.#groupWith(address) === undefined && !this.#removed.has(address),
        );
        return pci === undefined ? null : {do: 'plug', pci};
      }
      case 'remove': {
        const pci = this.#pci(
          operation.pci,
          (address) =>
            !this.#removed.has(address) && (this.#groupWith(address) === undefined || this.#leaves(address)),
        );
        return pci === undefined ? null : {do: 'remove', pci};
      }
      case 'rescan':
        return this.#removed.size === 0 ? null : operation;
      case 'set container': {
        const [group, container] = [slot('group', operation.group), slot('container', operation.container)];
        return group === null || container === null ? null : {do: 'set container', group, container};
      }
      case 'set IOMMU': {
        const container = slot('container', operation.container);
        return container === null ? null : {do: 'set IOMMU', container};
      }
      case 'unset container': {
        const group = slot('group', operation.group);
        return group === null ? null : {do: 'unset container', group};
      }
    }
  }

  /** Does it. @returns what the kernel is to answer: `done`, or an errno. */
  perform(action: Action): string {
    const before = [...this.#vms].map((vm) => [vm, vm.coherency] as const);
    const answer = this.#perform(action);
    for (const [vm, coherency] of before) {
      const now = vm.coherency;
      if (coherency !== 'non-coherent' && now === 'non-coherent') this.#count[0] += 1;
      if (coherency === 'non-coherent' && now !== 'non-coherent') this.#count[1] += 1;
    }
    return answer;
  }

  observe(): Observed {
    return {
      descriptors: Object.fromEntries([...this.#slots].map(([slot, file]) => [slot, this.#seen(file)])),
      groups: Object.fromEntries(
        this.#machine.groups.map(({id}) => {
          const group = this.#groups.get(id);
          return [id, group === undefined ? 'ENOENT' : this.#opened.has(group) ? 'EBUSY' : 'done'];
        }),
      ),
      count: [...this.#count],
      wbinvd: Object.fromEntries(
        [...this.#vms].flatMap((vm) => {
          const slot = [...this.#slots].find(([, file]) => file.kind === 'vm' && file.vm === vm)?.[0];
          return slot === undefined || vm.wbinvd === 'unknown' ? [] : [[slot, vm.wbinvd]];
        }),
      ),
    };
  }

  /** The slot that what is opened next will have. */
  get next(): number {
    return this.#next;
  }

  #perform(action: Action): string {
    switch (action.do) {
      case 'create VM': {
        const vm = new VmModel(this.#rules, this.#vfio);
        this.#vms.add(vm);
        return this.#open(new OpenFile('vm', {vm}));
      }
      case 'create device': {
        const vm = this.#vmAt(action.vm);
        const answer = vm.createDevice();
        return answer === 'done' ? this.#open(new OpenFile('kvm-vfio', {vm})) : (answer ?? 'unknown');
      }
      case 'test device':
        return 'done';
      case 'has attribute':
        return this.#deviceAt(action.device).hasAttr(action.group, action.attr) ? 'done' : 'ENXIO';
      case 'set nothing':
        return {
          'unknown group': 'ENXIO',
          'unknown attribute': 'ENXIO',
          'no payload': 'EFAULT',
          'descriptor as address': 'EFAULT',
          get: 'EPERM',
          run: 'ENOTTY',
        }[action.how];
      case 'add': {
        if (action.file === null) return 'EBADF';
        const file = this.#at(action.file);
        const answer = this.#deviceAt(action.device).add(file) ?? 'unknown';
        if (answer === 'done') file.references += 1;
        return answer;
      }
      case 'delete': {
        if (action.file === null) return 'EBADF';
        const file = this.#at(action.file);
        const answer = this.#deviceAt(action.device).delete(file) ?? 'unknown';
        if (answer === 'done') this.#release(file);
        return answer;
      }
      case 'close':
        this.#close(action.file);
        return 'done';
      case 'duplicate': {
        const file = this.#at(action.file);
        file.references += 1;
        return this.#open(file);
      }
      case 'open group': {
        const group = this.#groups.get(action.group);
        if (group === undefined) return 'ENOENT';
        if (this.#opened.has(group)) return 'EBUSY';
        const file = new OpenFile('group', {group, id: action.group});
        this.#opened.set(group, file);
        return this.#open(file);
      }
      case 'open cdev':
        return this.#open(new OpenFile('cdev', {pci: action.pci}));
      case 'open container':
        return this.#open(new OpenFile('container', {container: new ContainerModel()}));
      case 'open null':
        return this.#open(new OpenFile('null'));
      case 'set container': {
        const container = this.#at(action.container).container;
        return container === null ? 'EBADFD' : this.#groupAt(action.group).setContainer(container);
      }
      case 'set IOMMU':
        return this.#at(action.container).container?.setIommu() ?? 'ENOTTY';
      case 'unset container':
        return this.#groupAt(action.group).unsetContainer();
      case 'unplug':
        this.#unplug(action.pci);
        return 'done';
      case 'plug':
        this.#plug(this.#groupOf(action.pci), action.pci);
        return 'done';
      case 'remove':
        this.#unplug(action.pci);
        this.#removed.add(action.pci);
        return 'done';
      case 'rescan':
        this.#removed.clear();
        return 'done';
    }
  }

  #open(file: OpenFile): 'done' {
    this.#slots.set(this.#next, file);
    this.#next += 1;
    return 'done';
  }

  #close(slot: number): void {
    const file = this.#at(slot);
    this.#slots.delete(slot);
    this.#release(file);
  }

  /** One reference less, and with the last one all that hangs on the file. */
  #release(file: OpenFile): void {
    file.references -= 1;
    if (file.references > 0) return;
    const {kind, vm, group} = file;
    if (kind === 'group' && group !== null) {
      group.leaveContainer();
      this.#opened.delete(group);
    }
    if (vm === null) return;
    if (kind === 'kvm-vfio')
      this.#letGo(vm, () => {
        vm.closeDevice();
      });
    const isReferred = [...this.#slots.values()].some((other) => other.vm === vm);
    if (isReferred) return;
    this.#letGo(vm, () => {
      vm.end();
    });
    this.#vms.delete(vm);
  }

  /** What KVM holds until then is released by it. */
  #letGo(vm: VmModel<OpenFile>, work: () => void): void {
    const held = (): OpenFile[] => vm.device?.entries.map(({file}) => file) ?? [];
    const before = held();
    work();
    const after = held();
    for (const file of before) if (!after.includes(file)) this.#release(file);
  }

  #plug(id: number, device: string): void {
    const group = this.#groups.get(id) ?? new GroupModel<string>(this.#verdict);
    group.plug(device, this.#verdict);
    this.#groups.set(id, group);
  }

  #unplug(device: string): void {
    const id = this.#groupOf(device);
    const group = this.#groups.get(id);
    group?.unplug(device);
    if (group?.dead === true) this.#groups.delete(id);
  }

  #seen({kind, group, id, pci}: OpenFile): string {
    switch (kind) {
      case 'vm':
        return 'anon_inode:kvm-vm';
      case 'kvm-vfio':
        return 'anon_inode:kvm-vfio';
      case 'container':
        return '/dev/vfio/vfio';
      case 'null':
        return '/dev/null';
      case 'cdev':
        return `cdev of ${pci}`;
      case 'group': {
        const status = group?.status() ?? 'ENODEV';
        return status === 'ENODEV'
          ? `/dev/vfio/${id} (deleted) ENODEV`
          : `/dev/vfio/${id} ${status.containerSet ? 'in a container' : 'viable'}`;
      }
    }
  }

  #at(slot: number): OpenFile {
    const file = this.#slots.get(slot);
    if (file === undefined) throw new Error(`nothing is open in slot ${slot}`);
    return file;
  }

  #vmAt(slot: number): VmModel<OpenFile> {
    const {vm} = this.#at(slot);
    if (vm === null) throw new Error(`slot ${slot} is no VM's`);
    return vm;
  }

  #deviceAt(slot: number): NonNullable<VmModel<OpenFile>['device']> {
    const {device} = this.#vmAt(slot);
    if (device === null) throw new Error(`slot ${slot} is no device`);
    return device;
  }

  #groupAt(slot: number): GroupModel<string> {
    const {group} = this.#at(slot);
    if (group === null) throw new Error(`slot ${slot} is no group`);
    return group;
  }

  #groupOf(address: string): number {
    return this.#machine.groups.find(({devices}) => devices.includes(address))?.id ?? -1;
  }

  /** The VFIO group that has a device now. */
  #groupWith(address: string): GroupModel<string> | undefined {
    return [...this.#groups.values()].find(({members}) => members.has(address));
  }

  /** Unbinding waits for as long as a file of the device is open (vfio_unregister_group_dev). */
  #leaves(address: string): boolean {
    const isOpen = [...this.#slots.values(), ...this.#held()].some(({pci}) => pci === address);
    return this.#groupWith(address) !== undefined && !isOpen;
  }

  #held(): OpenFile[] {
    return [...this.#vms].flatMap((vm) => vm.device?.entries.map(({file}) => file) ?? []);
  }

  #pci(pick: number, accept: (address: string) => boolean): string | undefined {
    const addresses = this.#machine.groups.flatMap(({devices}) => devices).filter(accept);
    return addresses[pick % addresses.length];
  }
}
