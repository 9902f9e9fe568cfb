import {existsSync} from 'node:fs';
import {intel, machine, type Machine} from '../support/machine.js';
import {buildOnce} from '../support/run.js';
import type {Benchmark} from './benchmark.js';
import {compared, KVFIO, NODE, ratio, timed, VERSION} from './commands.js';
import {server} from './server.js';
import {cost, paired, timesOf} from './turns.js';

/** How long the start of commands takes, next to Node alone, and what a machine of ordinary size adds. */
export const benchmark: Benchmark = {
  needs: ['taskset'],
  lines: () => [
    ...['kvfio --version', 'kvfio groups --json'].map((what) => ({
      ...{what, against: 'node -e 0', unit: 'x' as const, most: 1.7},
    })),
    {what: "groups --json, a server's 200 devices", against: 'kvfio --version', unit: 'x', most: 1.3},
    {
      what: "groups --json, a server's 200 devices, CPU time, one CPU",
      against: 'kvfio --version',
      unit: 'x',
      most: null,
    },
  ],
  measure: (size) => {
    buildOnce();
    using built = serverMachine();
    const ofServer = [...KVFIO, 'groups', '--json', '--sysroot', built.root];
    const rounds = size === 'large' ? 40 : 10;
    const [node, version, groups, servers] = timed(
      [NODE, VERSION, [...KVFIO, 'groups', '--json'], ofServer].map((command) => ({command})),
      rounds,
    );
    const work = paired(
      () => cost(ofServer, {one: true}).cpu,
      () => cost(VERSION, {one: true}).cpu,
      rounds,
    );
    return [
      compared(version, node, ratio),
      compared(groups, node, ratio),
      compared(servers, version, ratio),
      {value: work.ratio, detail: timesOf(work)},
    ];
  },
};

const serverMachine = (): Machine =>
  machine(
    {units: {dmar0: intel('f050da'), dmar1: intel('f050da')}, groups: server(), pciIds: null},
    existsSync('/dev/shm') ? '/dev/shm' : undefined,
  );
