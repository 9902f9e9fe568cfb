/**
 * Runs in the lab, on a kernel with VFIO cdevs: attaches the device that is bound to vfio-pci in each way, and writes
 * as JSON what was answered, and what KVM did with WBINVD after each step. Its arguments are the program of
 * test/vm/wbinvd-vmm.c, and the file to write.
 */
import {readdirSync, readlinkSync, statSync, writeFileSync} from 'node:fs';
import {basename} from 'node:path';
import type {RequestedChange} from '../../src/kvm-vfio/change-report.js';
import {Descriptor} from '../../src/linux/descriptor.js';
import {
  KVM_DEV_TYPE_VFIO,
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_DEV_VFIO_FILE_DEL,
} from '../../src/linux/ioctl.js';
import {Kvm} from '../../src/kvm/system.js';
import {O_RDWR, open} from '../../src/linux/libc.js';
import {VfioGroup} from '../../src/vfio/ioctls.js';
import type {FileId} from '../../src/vfio/file-node.js';
import {holdersOf} from '../../src/vfio/holders.js';
import {DirectOwner} from '../../src/owner/direct-owner.js';
import {commandVmm, type CommandVmm} from './command-vmm.js';
import {attach, changed, detach, DETACH_ALL, type Answer} from './lab-changes.js';
import {errnoOf} from '../support/errno-of.js';

const [, , program = '', output = ''] = process.argv;
/** WBINVDs of the guest after each step. */
const ROUNDS = 20;

export interface Step {
  name: string;
  answer: Answer;
  /** How many of {@link ROUNDS} WBINVDs reached another CPU, and so were executed. */
  executed: number;
  /** How many processes have the device open, beside this one. */
  holders: number;
}

export interface CdevTranscript {
  device: string;
  group: number;
  steps: Record<'agent' | 'inject', Step[]>;
  /** Of what is open twice in the owner. */
  twice: Step[];
  /** What the kernel answered to kvfio's own VM. */
  direct: [what: string, answer: string][];
  refused: Record<'busyDevice' | 'busyGroup' | 'unbound', Answer>;
  /** Whether VFIO let the device go at the end. */
  released: boolean;
}

const address = basename(
  readdirSync('/sys/bus/pci/drivers/vfio-pci').find((name) => name.includes(':')) ?? '',
);
const folder = `/sys/bus/pci/devices/${address}`;
const group = Number(basename(readlinkSync(`${folder}/iommu_group`)));
const [name = ''] = readdirSync(`${folder}/vfio-dev`);
const node = `/dev/vfio/devices/${name}`;
const cdev = {kind: 'cdev', address} as const;
const holders = (): number => holdersOf(statSync(node).rdev).holders.length;

/** Answers and what they led to, one after the other. */
const steps = async (
  vmm: CommandVmm,
  via: 'agent' | 'inject',
  changes: readonly [string, RequestedChange | 'verify', dryRun?: boolean][],
): Promise<Step[]> => {
  const seen: Step[] = [];
  for (const [what, change, dryRun = false] of changes) {
    const answer = await changed({socket: vmm.socket}, via, change, dryRun);
    seen.push({name: what, answer, executed: await vmm.ask(`wbinvd ${ROUNDS}`), holders: holders()});
  }
  return seen;
};

const remove: RequestedChange = {command: 'delete', files: [cdev]};
const CHANGES: [string, RequestedChange | 'verify', boolean?][] = [
  ['predicted', attach(cdev), true],
  ['attached', attach(cdev)],
  ['again', attach(cdev)],
  ['verified', 'verify'],
  ['added', {command: 'add', files: [cdev], container: undefined}],
  ['deleted', remove],
  ['deleted again', remove],
  ['attached again', attach(cdev)],
  ['detached', detach(cdev)],
  ['attached at last', attach(cdev)],
];

const inEachWay = async (): Promise<CdevTranscript['steps']> => {
  const seen = {agent: [] as Step[], inject: [] as Step[]};
  for (const via of ['agent', 'inject'] as const) {
    await using vmm = await commandVmm(program, `/tmp/${via}.sock`);
    seen[via] = await steps(vmm, via, CHANGES);
  }
  return seen;
};

/** The group, and two opens of the device's node, in a VMM that opened all of them itself. */
const heldTwice = async (): Promise<Step[]> => {
  await using vmm = await commandVmm(program, '/tmp/twice.sock');
  await vmm.ask(`open ${node}`);
  await vmm.ask(`open ${node}`);
  await vmm.ask(`open /dev/vfio/${group}`);
  return await steps(vmm, 'inject', [
    ['attached', attach(cdev)],
    ['group attached too', attach({kind: 'group', group})],
    ['verified', 'verify'],
    ['detached', DETACH_ALL],
  ]);
};

const refused = async (): Promise<CdevTranscript['refused']> => {
  await using vmm = await commandVmm(program, '/tmp/refused.sock');
  await using other = await commandVmm(program, '/tmp/other.sock');
  const tried = (file: FileId): Promise<Answer> => changed({socket: vmm.socket}, 'agent', attach(file));
  const held = await other.ask(`open ${node}`);
  const busyDevice = await tried(cdev);
  await other.ask(`close ${held}`);
  await other.ask(`open /dev/vfio/${group}`);
  const busyGroup = await tried(cdev);
  const disk = basename(readdirSync('/sys/bus/pci/drivers/nvme').find((each) => each.includes(':')) ?? '');
  const unbound = await tried({kind: 'cdev', address: disk});
  return {busyDevice, busyGroup, unbound};
};

/** The kernel's own answers, to a VM of this process. */
const direct = (): CdevTranscript['direct'] => {
  using kvm = Kvm.open();
  using vm = kvm.createVm();
  using owner = new DirectOwner(vm);
  const device = owner.createDevice(vm.fd, KVM_DEV_TYPE_VFIO);
  const opened = (): Descriptor => new Descriptor(open(node, O_RDWR), node);
  using first = opened();
  using second = opened();
  const fd = owner.giveDescriptor(first);
  const seen: CdevTranscript['direct'] = [];
  const see = (what: string, work: () => void): void => void seen.push([what, errnoOf(work)]);
  const set = (attr: number, file: number) => (): void => {
    owner.setDeviceAttr(device, KVM_DEV_VFIO_FILE, attr, file);
  };
  see('ADD', set(KVM_DEV_VFIO_FILE_ADD, fd));
  see('ADD of a second descriptor of the file', set(KVM_DEV_VFIO_FILE_ADD, first.fd));
  see('ADD of a second open of the node', set(KVM_DEV_VFIO_FILE_ADD, second.fd));
  see('open of the group', () => {
    VfioGroup.open(`/dev/vfio/${group}`)[Symbol.dispose]();
  });
  {
    using whole = VfioGroup.open(`/dev/vfio/${group}`);
    see('open of the node while the group is open', () => {
      opened()[Symbol.dispose]();
    });
    see('ADD of the group', set(KVM_DEV_VFIO_FILE_ADD, whole.fd));
    see('DEL of the group', set(KVM_DEV_VFIO_FILE_DEL, whole.fd));
  }
  see('DEL', set(KVM_DEV_VFIO_FILE_DEL, fd));
  see('second DEL', set(KVM_DEV_VFIO_FILE_DEL, fd));
  see('DEL of the second open', set(KVM_DEV_VFIO_FILE_DEL, second.fd));
  return seen;
};

/** Unbinding waits until no file of the device is left. */
const release = (): boolean => {
  writeFileSync(`${folder}/driver/unbind`, address);
  return !readdirSync(folder).includes('driver');
};

const transcript: CdevTranscript = {
  device: address,
  group,
  steps: await inEachWay(),
  twice: await heldTwice(),
  direct: direct(),
  refused: await refused(),
  released: release(),
};
writeFileSync(output, JSON.stringify(transcript));
