/**
 * Binds and returns groups of a fake machine until its input ends, and now and then is killed between two changes:
 *
 *     node bind-program.mjs ROOT LOG SEED
 *
 * Each write is a line of LOG with the number of the work that it belongs to.
 */
import {appendFileSync} from 'node:fs';
import {Failure} from '../../src/failure.js';
import {bindDevices, type BindOptions} from '../../src/vfio/bind/bind.js';
import {recoverDevices} from '../../src/vfio/bind/recover.js';
import {unbindDevices} from '../../src/vfio/bind/unbind.js';
import {SimulatedBus} from '../vfio/bind/simulated-bus.js';
import {NATIVES} from '../support/two-groups.js';
import {Chance} from './trial.js';

const [, , root = '', log = '', seed = ''] = process.argv;
const chance = new Chance(Number(seed));
let work = 0;

class LoggedBus extends SimulatedBus {
  override async write(path: string, text: string): Promise<void> {
    const address = /\d{4}:\d\d:\d\d\.\d/.exec(`${path} ${text}`)?.[0] ?? '';
    appendFileSync(log, `${address} ${process.pid}-${work}\n`);
    await super.write(path, text);
  }
}

const bus = new LoggedBus(
  {root, path: (inside) => `${root}/${inside}`} as ConstructorParameters<typeof SimulatedBus>[0],
  NATIVES,
);
// a real write is over or has not begun; that of the fake bus is several
bus.observe = () => {
  if (chance.below(60) === 0) process.kill(process.pid, 'SIGKILL');
};
const options: BindOptions = {
  ...{dryRun: false, force: [], timeout: 20, owner: null},
  onNote: () => undefined,
  setting: bus.setting(),
};

const input = {ended: false};
process.stdin.once('end', () => (input.ended = true)).resume();

const REQUESTS = [
  {groups: [11], devices: []},
  {groups: [11, 12], devices: []},
  {groups: [12], devices: []},
];

const done: Record<string, number> = {};
do {
  work += 1;
  const request = chance.of(REQUESTS);
  const kind = chance.below(5);
  let code = 'done';
  try {
    if (kind < 2) await bindDevices(request, options);
    else if (kind < 4) await unbindDevices(request, options);
    else await recoverDevices(options);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    ({code} = error);
  }
  done[code] = (done[code] ?? 0) + 1;
  await new Promise((resolve) => setTimeout(resolve, chance.below(5)));
} while (!input.ended);
console.log(JSON.stringify(done));
