import {existsSync, readdirSync, readlinkSync, writeFileSync} from 'node:fs';
import {basename} from 'node:path';
import {Descriptor} from '../../../src/linux/descriptor.js';
import {SyscallError} from '../../../src/linux/errno.js';
import {
  KVM_DEV_TYPE_VFIO,
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_DEV_VFIO_FILE_DEL,
  SIZEOF_KVM_DEVICE_ATTR,
  VFIO_TYPE1v2_IOMMU,
} from '../../../src/linux/ioctl.js';
import {KvmVfio} from '../../../src/kvm/device.js';
import {Kvm, Vm} from '../../../src/kvm/system.js';
import {ioctl, O_RDWR, open, syscall} from '../../../src/linux/libc.js';
import {Pidfd} from '../../../src/linux/proc/pidfd.js';
import {VfioContainer, VfioGroup} from '../../../src/vfio/ioctls.js';
import {openingOf} from '../../support/errno-of.js';
import type {Breakpoint} from './breakpoint.js';
import type {Action} from './modelled-machine.js';
import type {NoncoherentCount} from './noncoherent-count.js';
import type {Machine, Observed} from './observed.js';
import type {Nothing} from './operation.js';
import {WbinvdVcpu} from './wbinvd-vcpu.js';

/** What of the kernel's decision is seen. */
export interface Sight {
  count: NoncoherentCount | null;
  /** Null where it is not tried after each operation what KVM does with WBINVD. */
  wbinvd: Breakpoint | null;
}

/** An open file in a slot, with what belongs to it. */
interface Held {
  descriptor: Descriptor;
  /** Of a VM, to be closed with its last descriptor: it keeps the VM alive. */
  vcpu: WbinvdVcpu | null;
  /** Of a cdev: its node, and the device's address. */
  cdev: {node: string; pci: string} | null;
}

/** A descriptor number that is not open. */
const CLOSED = 999_999;
const PCI = '/sys/bus/pci';

/** The running kernel. What is open in it is closed when it is disposed of, and all devices are VFIO's again then. */
export class RealMachine implements Disposable {
  readonly #machine: Machine;
  readonly #sight: Sight;
  readonly #kvm = Kvm.open();
  readonly #self = Pidfd.open(process.pid);
  readonly #slots = new Map<number, Held>();
  readonly #base: [number, number];
  #next = 0;

  constructor(machine: Machine, sight: Sight) {
    this.#machine = machine;
    this.#sight = sight;
    this.#base = sight.count?.read() ?? [0, 0];
  }

  /** @returns `done`, or the errno */
  perform(action: Action): string {
    try {
      return this.#perform(action) ?? 'done';
    } catch (error) {
      const {code} = error as NodeJS.ErrnoException;
      if (code === undefined) throw error;
      return code;
    }
  }

  observe(): Observed {
    const counted = this.#sight.count?.read() ?? null;
    return {
      descriptors: Object.fromEntries([...this.#slots].map(([slot, held]) => [slot, seen(held)])),
      groups: Object.fromEntries(this.#machine.groups.map(({id}) => [id, openingOf(id)])),
      count: counted === null ? null : [counted[0] - this.#base[0], counted[1] - this.#base[1]],
      wbinvd: this.#sight.wbinvd === null ? null : this.#wbinvd(),
    };
  }

  /** How many descriptors of KVM's and VFIO's this process has beside those that belong here. */
  strays(): number {
    const links = readdirSync('/proc/self/fd').flatMap((fd) => linkOf(Number(fd)));
    const vcpus = new Set([...this.#slots.values()].map(({vcpu}) => vcpu).filter((vcpu) => vcpu !== null))
      .size;
    const own = links.filter((link) => /^(?:anon_inode:kvm-v|\/dev\/vfio\/)/.test(link)).length;
    const wanted = [...this.#slots.values()].filter(({descriptor}) => descriptor.path !== '/dev/null').length;
    return own - wanted - vcpus;
  }

  [Symbol.dispose](): void {
    for (const slot of [...this.#slots.keys()]) this.#close(slot, true);
    if (this.#addresses().some((address) => !existsSync(`${PCI}/devices/${address}`))) this.#rescan();
    for (const address of this.#addresses()) takeForVfio(address);
    this.#kvm[Symbol.dispose]();
    this.#self[Symbol.dispose]();
  }

  #addresses(): string[] {
    return this.#machine.groups.flatMap(({devices}) => devices);
  }

  #perform(action: Action): string | undefined {
    switch (action.do) {
      case 'create VM': {
        const vm = this.#kvm.createVm();
        this.#sight.count?.vmCreated();
        const {wbinvd} = this.#sight;
        this.#open(vm, {vcpu: wbinvd === null ? null : new WbinvdVcpu(vm, wbinvd)});
        return;
      }
      case 'create device':
        this.#open(this.#at(action.vm, Vm).createDevice(KVM_DEV_TYPE_VFIO));
        return;
      case 'test device':
        return this.#at(action.vm, Vm).supportsDevice(KVM_DEV_TYPE_VFIO) ? 'done' : 'ENODEV';
      case 'has attribute':
        return this.#device(action.device).hasAttr(action.group, action.attr) ? 'done' : 'ENXIO';
      case 'set nothing':
        askFor(action.how, this.#device(action.device));
        return;
      case 'add':
      case 'delete': {
        const device = this.#device(action.device);
        const fd = action.file === null ? CLOSED : this.#held(action.file).descriptor.fd;
        const attr = action.do === 'add' ? KVM_DEV_VFIO_FILE_ADD : KVM_DEV_VFIO_FILE_DEL;
        device.setAttr(KVM_DEV_VFIO_FILE, attr, int32(fd));
        return;
      }
      case 'close':
        this.#close(action.file, action.last);
        return;
      case 'duplicate':
        this.#duplicate(action.file);
        return;
      case 'open group':
        this.#open(VfioGroup.open(`/dev/vfio/${action.group}`));
        return;
      case 'open cdev': {
        const [name = ''] = readdirSync(`${PCI}/devices/${action.pci}/vfio-dev`);
        const node = `/dev/vfio/devices/${name}`;
        this.#open(new Descriptor(open(node, O_RDWR), node), {cdev: {node, pci: action.pci}});
        return;
      }
      case 'open container':
        this.#open(VfioContainer.open());
        return;
      case 'open null':
        this.#open(new Descriptor(open('/dev/null', O_RDWR), '/dev/null'));
        return;
      case 'set container':
        this.#at(action.group, VfioGroup).setContainer(this.#at(action.container, VfioContainer));
        return;
      case 'set IOMMU':
        this.#at(action.container, VfioContainer).setIommu(VFIO_TYPE1v2_IOMMU);
        return;
      case 'unset container':
        this.#at(action.group, VfioGroup).unsetContainer();
        return;
      case 'unplug':
        unbind(action.pci);
        return;
      case 'plug':
        plug(action.pci);
        return;
      case 'remove':
        writeFileSync(`${PCI}/devices/${action.pci}/remove`, '1');
        return;
      case 'rescan':
        this.#rescan();
        return;
    }
  }

  /** Devices that come back get their native drivers at once (pci_bus_add_device in drivers/pci/bus.c), and are taken from them. */
  #rescan(): void {
    writeFileSync(`${PCI}/rescan`, '1');
    for (const address of this.#addresses()) if (driverOf(address) !== 'vfio-pci') unbind(address);
  }

  #open(descriptor: Descriptor, {vcpu = null, cdev = null}: Partial<Held> = {}): void {
    this.#slots.set(this.#next, {descriptor, vcpu, cdev});
    this.#next += 1;
  }

  #duplicate(slot: number): void {
    const {descriptor, ...rest} = this.#held(slot);
    const fd = syscall('pidfd_getfd', [this.#self.fd, descriptor.fd]);
    const of = descriptor.constructor as new (fd: number, path?: string) => Descriptor;
    this.#open(new of(fd, descriptor.path), rest);
  }

  #close(slot: number, last: boolean): void {
    const {descriptor, vcpu} = this.#held(slot);
    if (last) vcpu?.[Symbol.dispose]();
    descriptor[Symbol.dispose]();
    this.#slots.delete(slot);
  }

  #wbinvd(): NonNullable<Observed['wbinvd']> {
    const guests = new Map<WbinvdVcpu, number>();
    for (const [slot, {vcpu}] of this.#slots) if (vcpu !== null && !guests.has(vcpu)) guests.set(vcpu, slot);
    return Object.fromEntries([...guests].map(([vcpu, slot]) => [slot, vcpu.wbinvd()]));
  }

  #held(slot: number): Held {
    const held = this.#slots.get(slot);
    if (held === undefined) throw new Error(`nothing is open in slot ${slot}`);
    return held;
  }

  #at<T extends Descriptor>(slot: number, kind: new (fd: number) => T): T {
    const {descriptor} = this.#held(slot);
    if (!(descriptor instanceof kind)) throw new Error(`slot ${slot} is no ${kind.name}`);
    return descriptor;
  }

  #device(slot: number): KvmVfio {
    return this.#at(slot, KvmVfio);
  }
}

const askFor = (how: Nothing, device: KvmVfio): void => {
  switch (how) {
    case 'unknown group':
      device.setAttr(2, KVM_DEV_VFIO_FILE_ADD, int32(0));
      return;
    case 'unknown attribute':
      device.setAttr(KVM_DEV_VFIO_FILE, 4, int32(0));
      return;
    case 'no payload':
      device.setAttr(KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_DEL, Buffer.alloc(0));
      return;
    case 'descriptor as address': {
      // as the interface was proposed at first
      const attribute = Buffer.alloc(SIZEOF_KVM_DEVICE_ATTR);
      attribute.writeUInt32LE(KVM_DEV_VFIO_FILE, 4);
      attribute.writeBigUInt64LE(BigInt(KVM_DEV_VFIO_FILE_ADD), 8);
      attribute.writeBigUInt64LE(BigInt(device.fd), 16);
      ioctl(device.fd, 'KVM_SET_DEVICE_ATTR', attribute);
      return;
    }
    case 'get': {
      const attribute = Buffer.alloc(SIZEOF_KVM_DEVICE_ATTR);
      attribute.writeUInt32LE(KVM_DEV_VFIO_FILE, 4);
      ioctl(device.fd, 'KVM_GET_DEVICE_ATTR', attribute);
      return;
    }
    case 'run':
      ioctl(device.fd, 'KVM_RUN', 0);
  }
};

const seen = ({descriptor, cdev}: Held): string => {
  const [link = 'closed'] = linkOf(descriptor.fd);
  if (cdev !== null) return link === cdev.node ? `cdev of ${cdev.pci}` : link;
  return descriptor instanceof VfioGroup ? `${link} ${statusOf(descriptor)}` : link;
};

const statusOf = (group: VfioGroup): string => {
  try {
    const {viable, containerSet} = group.status();
    return containerSet ? 'in a container' : viable ? 'viable' : 'not viable';
  } catch (error) {
    if (error instanceof SyscallError) return error.code;
    throw error;
  }
};

const linkOf = (fd: number): string[] => {
  try {
    return [readlinkSync(`/proc/self/fd/${fd}`)];
  } catch {
    return [];
  }
};

/** Has vfio-pci have a device. */
export const takeForVfio = (address: string): void => {
  if (driverOf(address) === 'vfio-pci') return;
  unbind(address);
  plug(address);
};

/** Gives a device without a driver to vfio-pci, which has to be told of one that is new. */
const plug = (address: string): void => {
  writeFileSync(`${PCI}/devices/${address}/driver_override`, 'vfio-pci');
  writeFileSync(`${PCI}/drivers/vfio-pci/bind`, address);
};

const unbind = (address: string): void => {
  if (driverOf(address) !== null) writeFileSync(`${PCI}/devices/${address}/driver/unbind`, address);
};

const driverOf = (address: string): string | null => {
  const link = `${PCI}/devices/${address}/driver`;
  return existsSync(link) ? basename(readlinkSync(link)) : null;
};

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
};
