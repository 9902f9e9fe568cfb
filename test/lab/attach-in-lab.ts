/**
 * Attaches a VFIO group to VMs of `kvfio vm` in a lab guest, by agent and by inject, and writes down what it sees.
 *
 *   node attach-in-lab.mjs OUTPUT GROUP SHORT|WHOLE
 */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {closeSync, existsSync, openSync, readdirSync, writeFileSync} from 'node:fs';
import {setTimeout} from 'node:timers/promises';
import {attach, changed, counted, detach, type Answer} from './lab-changes.js';

/** What a step answered, and what could be seen after it. */
export interface AttachStep {
  answer: Answer;
  /** How often KVM has taken a VM for non-coherent so far, and back. */
  hits: [on: number, off: number];
  /** Whether others can open the group: `free`, an error, or null without its node. */
  group: string | null;
}

export type AttachTranscript = Record<'agent' | 'inject', Record<string, AttachStep>>;

const [output = '', id = '', extent = ''] = process.argv.slice(2);
const group = {kind: 'group', group: Number(id)} as const;
const node = `/dev/vfio/${id}`;

const open = (): string | null => {
  if (!existsSync(node)) return null;
  try {
    closeSync(openSync(node, 'r+'));
    return 'free';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'error';
  }
};

const session = async (way: 'agent' | 'inject'): Promise<Record<string, AttachStep>> => {
  const socket = `/tmp/${way}.sock`;
  const flags = way === 'inject' ? ['--no-agent'] : [];
  const vm = spawn('kvfio', ['vm', '--sock', socket, ...flags], {stdio: ['ignore', 'ignore', 'inherit']});
  while (!existsSync(socket)) await setTimeout(50);
  const steps: Record<string, AttachStep> = {};
  const step = async (name: string, change: Parameters<typeof changed>[2], dryRun = false): Promise<void> => {
    const answer = await changed({socket}, way, change, dryRun);
    steps[name] = {answer, hits: counted(), group: open()};
  };
  await step('predicted', attach(group), true);
  await step('attached', attach(group));
  await step('verified', 'verify');
  if (extent === 'WHOLE') {
    await step('again', attach(group));
    await step('deleted', {command: 'delete', files: [group]});
    await step('deleted again', {command: 'delete', files: [group]});
    await step('not registered', 'verify');
    await step('attached again', attach(group));
    await step('added', {command: 'add', files: [group], container: undefined});
  }
  await step('detached', detach(group));
  if (extent === 'WHOLE') {
    await step('detached again', {command: 'detach', files: [group], closeDevice: true});
    await step('attached to be lost', attach(group));
    const [device = ''] = readdirSync(`/sys/kernel/iommu_groups/${id}/devices`);
    writeFileSync('/sys/bus/pci/drivers/vfio-pci/unbind', device);
    await step('lost', 'status');
    await step('detached lost', detach(group));
    writeFileSync('/sys/bus/pci/drivers/vfio-pci/bind', device);
    await step('attached at last', attach(group));
  }
  vm.kill('SIGKILL');
  await once(vm, 'exit');
  await setTimeout(100);
  steps['ended'] = {answer: {code: '', exit: 0, errno: null, why: ''}, hits: counted(), group: open()};
  return steps;
};

writeFileSync(output, JSON.stringify({agent: await session('agent'), inject: await session('inject')}));
