import assert from 'node:assert/strict';
import {mkdirSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import {join} from 'node:path';
import {setImmediate} from 'node:timers/promises';
import fc from 'fast-check';
import {Failure} from '../../src/failure.js';
import {listVms} from '../../src/kvm-vfio/vms.js';
import {MACHINES} from '../fixtures/machines.js';
import {answers} from '../fuzz/answers.js';
import {below, damage, inflict, type Damage} from '../fuzz/damage.js';
import {descriptors} from '../support/descriptors.js';
import {machine, type MachineSpec} from '../support/machine.js';
import {writeProcesses} from '../support/processes.js';
import {scratch} from '../vm/vmm.js';
import type {Tally, Trial} from './trial.js';

export const trial: Trial = {
  what: 'damaged sysfs, procfs and PCI configuration space',
  needs: [],
  run: async (tally, {size, seed}) => {
    using folder = scratch();
    const socket = folder.path('socket');
    const server = createServer().listen(socket);
    const before = descriptors();
    const [trees, spaces, processes] = size === 'large' ? [2000, 3000, 5000] : [40, 40, 100];
    const harms = fc.array(fc.tuple(fc.nat(), damage), {minLength: 1, maxLength: 12});
    await tryAll(
      tally,
      {seed, count: trees},
      fc.tuple(fc.constantFrom(...Object.keys(MACHINES)), harms),
      async ([name, inflicted]) => {
        using built = machine(MACHINES[name]);
        harm(built.root, [...below(built.root, 'sys'), ...below(built.root, 'proc')], inflicted, socket);
        await answers(built.root, folder.path(''));
      },
    );

    using pc = machine(MACHINES[PC]);
    const space = pc.path('sys/devices/pci0000:00/0000:00:1c.0/0000:01:00.0/config');
    await tryAll(
      tally,
      {seed, count: spaces},
      fc.uint8Array({maxLength: 4096, size: 'max'}),
      async (bytes) => {
        // a capability list, so that what follows is looked at
        if (bytes.length > 6) bytes[6] = 0x10;
        writeFileSync(space, bytes);
        await answers(pc.root, folder.path(''));
      },
    );

    await tryAll(tally, {seed, count: processes}, ofProcfs, async (inflicted) => {
      using built = machine(WITH_VMS);
      writeVms(built.root);
      harm(built.root, below(built.root, 'proc'), inflicted, socket);
      try {
        const {vms} = await listVms(built.root);
        assert.ok(vms.length <= 8, `${vms.length} VMs`);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
      }
    });
    const left = descriptors().filter((line) => !before.includes(line));
    if (left.length > 0) tally.leaked.push(left.join(', '));
    await new Promise((resolve) => server.close(resolve));
    tally.detail = `groups, text, csv, json and replayed: ${trees} trees, ${spaces} configuration spaces; vms: ${processes} procfs`;
  },
};

/** procfs has no pipes, and no links to what never ends but those of descriptors, which nobody follows. */
const ofProcfs = fc.array(
  fc.tuple(
    fc.nat(),
    damage.filter(
      ({kind, ...rest}) => kind !== 'pipe' && !('target' in rest && rest.target.startsWith('/dev/')),
    ),
  ),
  {minLength: 1, maxLength: 12},
);

const PC = 'a PC whose graphics has an IOMMU unit of its own';
const WITH_VMS: MachineSpec = MACHINES[PC] ?? {};

const writeVms = (root: string): void => {
  const vm = {3: 'anon_inode:kvm-vm', 4: 'anon_inode:kvm-vfio', 5: '/dev/null', 6: 'anon_inode:kvm-vcpu:0'};
  mkdirSync(join(root, 'sys/class/vfio/2'), {recursive: true});
  writeFileSync(join(root, 'sys/class/vfio/2/dev'), '1:3\n');
  writeProcesses(root, [
    {pid: 1, comm: 'init', fds: {0: '/dev/null'}},
    {pid: 20, comm: 'qemu-system-x86', cmdline: ['qemu', '-name', 'guest=web'], fds: vm},
    {pid: 30, comm: 'firecracker', fds: {3: 'anon_inode:kvm-vm'}, seccomp: {30: 2, 31: 2}},
  ]);
};

const harm = (
  root: string,
  paths: readonly string[],
  inflicted: [number, Damage][],
  socket: string,
): void => {
  for (const [at, each] of inflicted)
    inflict({root, socket}, join(root, paths[at % paths.length] ?? ''), each);
};

/** One failure ends these cases, with the seed and the path that bring it back. */
const tryAll = async <T>(
  tally: Tally,
  {seed, count}: {seed: number; count: number},
  cases: fc.Arbitrary<T>,
  property: (one: T) => Promise<void>,
): Promise<void> => {
  try {
    await fc.assert(
      fc.asyncProperty(cases, async (one) => {
        tally.rounds += 1;
        await property(one);
        await setImmediate();
      }),
      {numRuns: count, seed, endOnFailure: true},
    );
  } catch (error) {
    const {cause} = error as Error;
    tally.lost.push(`${String(error)}\n${cause instanceof Error ? (cause.stack ?? cause.message) : ''}`);
  }
};
