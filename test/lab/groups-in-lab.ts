/**
 * Runs in the lab, with two NICs bound to vfio-pci: manages the groups of a VMM that opened one of them itself, and of
 * a QEMU that has one for a device of its guest, and writes as JSON what was answered and what KVM counted. Its
 * arguments are the program of test/vm/wbinvd-vmm.c, the file to write, and the addresses of the two NICs.
 */
import {execFile, spawn} from 'node:child_process';
import {once} from 'node:events';
import {existsSync, readlinkSync, writeFileSync} from 'node:fs';
import {basename} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {promisify} from 'node:util';
import type {ChangeDocument} from '../../src/kvm-vfio/change-document.js';
import type {FileId} from '../../src/vfio/file-node.js';
import {askMonitor} from '../vm/monitor.js';
import {commandVmm} from './command-vmm.js';
import {attach, changed, counted, detach, DETACH_ALL, type Answer} from './lab-changes.js';
import {openingOf} from '../support/errno-of.js';

const [, , program = '', output = '', ownAddress = '', otherAddress = ''] = process.argv;

export interface GroupStep {
  name: string;
  answer: Answer;
  /** How often KVM has taken a VM for non-coherent, and back, since the beginning of this part. */
  hits: [on: number, off: number];
  /** Whether others can open the VMM's own group, and the other one: `done`, or the error. */
  open: [own: string, other: string];
  /** What the link of the VMM's own descriptor of its group is. */
  descriptor: string;
}

export interface GroupsTranscript {
  own: number;
  other: number;
  /** With a VMM that opened its group itself. */
  opened: Record<'agent' | 'inject', GroupStep[]>;
  /** With a `kvfio attach` that has ended, and after its VM has. */
  left: {attached: ChangeDocument; held: string; hits: number[]; freed: string; hitsAfter: number[]};
  qemu: {
    steps: GroupStep[];
    /** What its monitor said before and after each change. */
    monitor: string[];
    exitCode: number | null;
    /** Whether others can open both groups when it has ended. */
    freed: [own: string, other: string];
  };
  /** What was said to a device that was named in place of its group. */
  cdev: Answer;
}

const groupOf = (address: string): number =>
  Number(basename(readlinkSync(`/sys/bus/pci/devices/${address}/iommu_group`)));
const own = {kind: 'group', group: groupOf(ownAddress)} as const;
const other = {kind: 'group', group: groupOf(otherAddress)} as const;

const openByOthers = ({group}: {group: number}): string => openingOf(group);

/** Takes down what each change of a VM has led to. */
class Recorder {
  readonly steps: GroupStep[] = [];
  readonly #base = counted();
  readonly #see: () => string;

  constructor(see: () => string) {
    this.#see = see;
  }

  note(name: string, answer: Answer): void {
    const [on, off] = counted();
    this.steps.push({
      name,
      answer,
      hits: [on - this.#base[0], off - this.#base[1]],
      open: [openByOthers(own), openByOthers(other)],
      descriptor: this.#see(),
    });
  }
}

const opened = async (via: 'agent' | 'inject'): Promise<GroupStep[]> => {
  await using vmm = await commandVmm(program, `/tmp/opened-${via}.sock`);
  const fd = await vmm.ask(`open /dev/vfio/${own.group}`);
  const recorder = new Recorder(() => linkOf(vmm.pid, fd));
  const place = {socket: vmm.socket};
  for (const [name, change] of [
    ['attached', attach(own, other)],
    ['verified', 'verify'],
    ['detached', DETACH_ALL],
  ] as const)
    recorder.note(name, await changed(place, via, change));
  return recorder.steps;
};

const linkOf = (pid: number, fd: number): string => {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return 'closed';
  }
};

/** The one part that needs a kvfio that ends. */
const left = async (): Promise<GroupsTranscript['left']> => {
  const base = counted();
  const hits = (): number[] => counted().map((count, index) => count - (base[index] ?? 0));
  await using vmm = await commandVmm(program, '/tmp/left.sock');
  const argv = ['attach', '--vm-sock', vmm.socket, '--group', String(other.group), '--json'];
  const {stdout} = await promisify(execFile)('kvfio', argv);
  const seen = {attached: JSON.parse(stdout) as ChangeDocument, held: openByOthers(other), hits: hits()};
  await vmm[Symbol.asyncDispose]();
  return {...seen, freed: openByOthers(other), hitsAfter: hits()};
};

const MONITOR = '/tmp/monitor';

const qemu = async (): Promise<GroupsTranscript['qemu']> => {
  let fd = -1;
  const pidOf = (): number => child.pid ?? -1;
  const recorder = new Recorder(() => linkOf(pidOf(), fd));
  const child = spawn(
    'qemu-system-x86_64',
    [
      ...['-machine', 'q35,accel=kvm', '-cpu', 'host', '-m', '16', '-S', '-nodefaults', '-display', 'none'],
      // without its ROM, which would only take time to be read
      ...['-device', `vfio-pci,host=${ownAddress},romfile=`],
      ...['-monitor', `unix:${MONITOR},server=on,wait=off`],
    ],
    {stdio: ['ignore', 'inherit', 'inherit']},
  );
  const ended = once(child, 'exit');
  const place = {pid: pidOf(), vmFd: undefined};
  const monitor = [await monitorAnswer(child, 'info status')];
  const change = async (name: string, what: Parameters<typeof changed>[2]): Promise<void> => {
    const answer = await changed(place, 'inject', what);
    if ('files' in answer && fd === -1) fd = answer.files.find(({group}) => group === own.group)?.fd ?? -1;
    recorder.note(name, answer);
    monitor.push(await askMonitor(MONITOR, 'info status'));
  };
  await change('status', 'status');
  await change('verified', 'verify');
  await change('attached', attach(other));
  await change('own attached', attach(own));
  await change('detached', detach(other));
  await change('own detached', detach(own));
  await change('own attached again', attach(own));
  await askMonitor(MONITOR, 'quit');
  const [exitCode] = (await ended) as [number | null];
  return {steps: recorder.steps, monitor, exitCode, freed: [openByOthers(own), openByOthers(other)]};
};

/** Its device is there before its monitor answers. */
const monitorAnswer = async (child: {exitCode: number | null}, command: string): Promise<string> => {
  while (!existsSync(MONITOR)) {
    if (child.exitCode !== null) throw new Error(`QEMU ended with ${child.exitCode}`);
    await sleep(50);
  }
  return askMonitor(MONITOR, command);
};

const unknownHere = async (): Promise<Answer> => {
  await using vmm = await commandVmm(program, '/tmp/cdev.sock');
  const file: FileId = {kind: 'cdev', address: ownAddress};
  return await changed({socket: vmm.socket}, 'agent', attach(file));
};

const transcript: GroupsTranscript = {
  own: own.group,
  other: other.group,
  opened: {agent: await opened('agent'), inject: await opened('inject')},
  left: await left(),
  qemu: await qemu(),
  cdev: await unknownHere(),
};
writeFileSync(output, JSON.stringify(transcript));
