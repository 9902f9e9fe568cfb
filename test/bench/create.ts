import {existsSync, mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {EXIT_CODES} from '../../src/failure.js';
import {startKvfioVm, type Vmm} from '../vm/vmm.js';
import type {Benchmark} from './benchmark.js';
import {compared, difference, KVFIO, NODE, ratio, timed, VERSION, type Contestant} from './commands.js';

/**
 * How long it takes to make a device in another process, next to a command that does nothing, and the start of the commands that
 * look at a VM next to Node alone.
 */
export const benchmark: Benchmark = {
  needs: ['x64', 'root', 'kvm'],
  lines: () => [
    ...['kvfio create, by agent', 'kvfio create, by inject'].map((what) => ({
      ...{what, against: 'kvfio --version', unit: 'ms' as const, most: 15},
    })),
    ...['kvfio status', 'kvfio attach --dry-run'].map((what) => ({
      ...{what, against: 'node -e 0', unit: 'x' as const, most: 1.7},
    })),
  ],
  measure: async (size) => {
    const folder = mkdtempSync(join(tmpdir(), 'kvfio-bench-'));
    const vms: Vmm[] = [];
    try {
      const [asked, plain] = [join(folder, 'agent.sock'), join(folder, 'plain.sock')];
      vms.push(await startKvfioVm(['--sock', asked]));
      vms.push(await startKvfioVm(['--sock', plain, '--no-agent']));
      const group = someGroup();
      const at = ['--vm-sock', asked];
      const attach = [...KVFIO, 'attach', ...at, '--group', group ?? '0', '--dry-run'];
      const [version, node, byAgent, byInject, status, dryRun] = timed(
        [
          {command: VERSION},
          {command: NODE},
          create(asked),
          create(plain),
          {command: [...KVFIO, 'status', ...at]},
          {command: attach, accepted: Object.values(EXIT_CODES)},
        ],
        {small: 5, medium: 10, large: 40}[size],
      );
      const ofDryRun = compared(dryRun, node, ratio);
      return [
        compared(byAgent, version, difference),
        compared(byInject, version, difference),
        compared(status, node, ratio),
        group === null
          ? {...ofDryRun, detail: `${ofDryRun.detail}, of no group: this host has none`}
          : ofDryRun,
      ];
    } finally {
      for (const vm of vms) await vm.end();
      rmSync(folder, {recursive: true});
    }
  },
};

/** A group of this host; null where it has none. */
const someGroup = (): string | null => {
  const folder = '/sys/kernel/iommu_groups';
  return (existsSync(folder) ? readdirSync(folder) : [])[0] ?? null;
};

/** Makes a device, which is taken away again. */
const create = (socket: string): Contestant => ({
  command: [...KVFIO, 'create', '--vm-sock', socket],
  after: [...KVFIO, 'detach', '--all', '--close-device', '--vm-sock', socket],
});
