/**
 * Runs in the lab: does random operations on the kvm-vfio device of the guest's kernel and on the model of it side by
 * side, and writes as JSON what came of it. A kernel without kprobes has to be there as the ELF file `vmlinux`, too.
 *
 *   node model-in-lab.mjs OUTPUT OPERATIONS
 */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {existsSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {setTimeout} from 'node:timers/promises';
import {readHost} from '../../src/iommu/host.js';
import type {Verdict} from '../../src/iommu/snoop-control.js';
import {Descriptor} from '../../src/linux/descriptor.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {KVM_DEV_TYPE_VFIO} from '../../src/linux/ioctl.js';
import {Kvm} from '../../src/kvm/system.js';
import {O_RDWR, open} from '../../src/linux/libc.js';
import {rulesOf, type KernelRules} from '../../src/kvm-vfio/model/rules.js';
import {noncoherentCount, type NoncoherentCount} from '../kvm-vfio/model/noncoherent-count.js';
import type {Machine} from '../kvm-vfio/model/observed.js';
import {takeForVfio} from '../kvm-vfio/model/real-machine.js';
import {dialogues, type Dialogue} from '../kvm-vfio/model/dialogue.js';
import {
  runSequence,
  sideBySide,
  type Difference,
  type Done,
  type Report,
  type Trial,
} from '../kvm-vfio/model/side-by-side.js';
import {wbinvdBreakpoint} from '../kvm-vfio/model/wbinvd-vcpu.js';

export interface ModelTranscript {
  /** What the IOMMU does for all devices. */
  verdict: Verdict;
  /** How it was counted how often KVM takes a VM for non-coherent. */
  countedBy: NoncoherentCount['by'];
  dialogues: {difference: Difference | null; steps: Done[]}[];
  report: Report;
  /** Of a device whose own file KVM holds: whether unbinding it is done. */
  blocked: Record<'whileHeld' | 'afterClose', 'waits' | 'gone'> | null;
  /** The model with a rule that is not this kernel's; null where nothing shows it. */
  wrong: Report | null;
}

const [output = '', operations = '', seed = ''] = process.argv.slice(2);

const PCI = '/sys/bus/pci';

/** Gives all that is behind bridges to VFIO. */
const takeGroups = (): Machine => {
  const groups = readdirSync('/sys/kernel/iommu_groups').map((id) => ({
    id: Number(id),
    devices: readdirSync(`/sys/kernel/iommu_groups/${id}/devices`).filter(
      (address) =>
        !address.startsWith('0000:00:') &&
        !readFileSync(`${PCI}/devices/${address}/class`, 'utf8').startsWith('0x0604'),
    ),
  }));
  const taken = groups.filter(({devices}) => devices.length > 0).sort((a, b) => a.id - b.id);
  for (const address of taken.flatMap(({devices}) => devices)) takeForVfio(address);
  return {groups: taken, cdevs: existsSync('/dev/vfio/devices')};
};

/** A device whose file only KVM has open, and the end of that. */
const blockedByKvm = async (): Promise<ModelTranscript['blocked']> => {
  const {groups} = machine;
  const address = groups.at(-1)?.devices[0] ?? '';
  const folder = `${PCI}/devices/${address}`;
  const [name = ''] = readdirSync(`${folder}/vfio-dev`);
  using kvm = Kvm.open();
  using vm = kvm.createVm();
  const device = vm.createDevice(KVM_DEV_TYPE_VFIO);
  {
    using file = new Descriptor(open(`/dev/vfio/devices/${name}`, O_RDWR));
    device.addFile(file);
  }
  const unbinding = spawn('sh', ['-c', `echo ${address} > ${folder}/driver/unbind`], {stdio: 'inherit'});
  const ended = once(unbinding, 'exit').then(() => 'gone' as const);
  const whileHeld = await Promise.race([ended, setTimeout(1000, 'waits' as const)]);
  device[Symbol.dispose]();
  const afterClose = await Promise.race([ended, setTimeout(30_000, 'waits' as const)]);
  takeForVfio(address);
  return {whileHeld, afterClose};
};

const converse = (trial: Trial, {lines}: Dialogue): ModelTranscript['dialogues'][number] => {
  const steps: Done[] = [];
  const difference = runSequence(
    trial,
    lines.map(({does}) => does),
    (step) => steps.push(step),
  );
  return {difference, steps};
};

/** A rule of other kernels, which the running one does not follow. */
const wrongRule = ({coherency}: KernelRules): Partial<KernelRules> => {
  if (coherency !== 'devices') return {coherency: 'devices'};
  return machine.cdevs ? {takesDevices: false} : {coherency: 'container'};
};

// where it came from is not asked of an answer
Error.stackTraceLimit = 0;
// grace periods are what most of the time would go to
writeFileSync('/sys/kernel/rcu_expedited', '1');
const machine = takeGroups();
const {groups, kernel} = readHost(new DirectoryTree(), {
  onlyGroups: machine.groups.map(({id}) => id),
  details: false,
  noSnoop: false,
});
const [verdict = 'unknown'] = groups.map(({snoopControl}) => snoopControl.allMembers.verdict);
using count = noncoherentCount('vmlinux');
const rules = rulesOf(kernel);
const trial: Trial = {machine, verdict, rules, sight: {count, wbinvd: null}};
using wbinvd = count.by === 'calls' ? wbinvdBreakpoint() : null;
const closely: Trial = {...trial, sight: {count, wbinvd}};

const transcript: ModelTranscript = {
  verdict,
  countedBy: count.by,
  dialogues: dialogues(rules.coherency).map((dialogue) => converse(closely, dialogue)),
  report: sideBySide(trial, Number(operations), seed === '' ? undefined : Number(seed)),
  blocked: machine.cdevs ? await blockedByKvm() : null,
  wrong:
    verdict === 'not-enforced'
      ? sideBySide({...trial, rules: {...rules, ...wrongRule(rules)}}, Number(operations))
      : null,
};
writeFileSync(output, JSON.stringify(transcript, null, 1));
