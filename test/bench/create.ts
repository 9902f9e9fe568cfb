import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {startKvfioVm, type Vmm} from '../vm/vmm.js';
import type {Benchmark} from './benchmark.js';
import {compared, KVFIO, timed, VERSION, type Contestant} from './commands.js';

const difference = (own: number, other: number): number => own - other;

/** How long it takes to make a device in another process, next to a command that does nothing. */
export const benchmark: Benchmark = {
  needs: ['x64', 'root', 'kvm'],
  lines: () =>
    ['kvfio create, by agent', 'kvfio create, by inject'].map((what) => ({
      ...{what, against: 'kvfio --version', unit: 'ms', most: 20},
    })),
  measure: async (size) => {
    const folder = mkdtempSync(join(tmpdir(), 'kvfio-bench-'));
    const vms: Vmm[] = [];
    try {
      const [asked, plain] = [join(folder, 'agent.sock'), join(folder, 'plain.sock')];
      vms.push(await startKvfioVm(['--sock', asked]));
      vms.push(await startKvfioVm(['--sock', plain, '--no-agent']));
      const [version, byAgent, byInject] = timed(
        [{command: VERSION}, create(asked), create(plain)],
        {small: 5, medium: 10, large: 40}[size],
      );
      return [compared(byAgent, version, difference), compared(byInject, version, difference)];
    } finally {
      for (const vm of vms) await vm.end();
      rmSync(folder, {recursive: true});
    }
  },
};

/** Makes a device, which is taken away again. */
const create = (socket: string): Contestant => ({
  command: [...KVFIO, 'create', '--vm-sock', socket],
  after: [...KVFIO, 'detach', '--all', '--close-device', '--vm-sock', socket],
});
