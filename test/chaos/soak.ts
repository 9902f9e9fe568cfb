import assert from 'node:assert/strict';
import {setTimeout as sleep} from 'node:timers/promises';
import {Deadline} from '../../src/linux/deadline.js';
import {UnixSocket} from '../../src/linux/socket/unix-socket.js';
import {countDescriptors, settled, startKvfioVm} from '../vm/vmm.js';
import {Kvfio, endsProperly, kvfio} from './kvfio.js';
import {WatchedVictim, change, descriptorsAtRest, residentOf} from './owners.js';
import {arenaOfTrial} from './programs.js';
import {Chance, type Tally, type Trial} from './trial.js';

/** KiB that what runs all the time may grow by after the first fifth of it. */
const GROWTH = 32 * 1024;

export const trial: Trial = {
  what: 'soak: everything in turns',
  needs: ['x64', 'kvm', 'cc'],
  run: async (tally, {soak, seed}) => {
    using arena = arenaOfTrial();
    const chance = new Chance(seed + 5);
    const owner = await WatchedVictim.start(arena, ['poll', 'vcpus']);
    const socket = `${arena.folder}/vm.sock`;
    await using vm = await startKvfioVm(['--sock', socket]);
    const at = ['--vm-sock', socket];
    await kvfio(['status', ...at]);
    const idle = await settled(() => countDescriptors(vm.pid));
    let warm = {vm: 0, own: 0};
    let done = 0;
    const begin = Date.now();
    const passed = (): number => (Date.now() - begin) / 1000;
    while (passed() < soak) {
      await tally.round(() =>
        one(tally, {chance, owner, socket, isDevice: () => countDescriptors(vm.pid) > idle}),
      );
      done += 1;
      if (warm.vm === 0 && passed() > soak / 5) warm = {vm: residentOf(vm.pid), own: residentOf(owner.pid)};
      if (vm.process.exitCode !== null) {
        tally.harmed.push(`kvfio vm ended: ${vm.output().stderr}`);
        return;
      }
      if (tally.lost.length > 20) break;
    }
    if (owner.hasDevice) endsProperly(await kvfio(change(true, '--pid', String(owner.pid))));
    endsProperly(await kvfio(['detach', '--all', '--close-device', ...at]));
    const open = await descriptorsAtRest(vm.pid, idle);
    if (open !== idle) tally.leaked.push(`kvfio vm has ${open - idle} more descriptors`);
    if (owner.more.length > 0) tally.leaked.push(owner.more.join(', '));
    const grown = {vm: residentOf(vm.pid) - warm.vm, own: residentOf(owner.pid) - warm.own};
    if (grown.vm > GROWTH || grown.own > 1024) tally.leaked.push(`grown by ${JSON.stringify(grown)} KiB`);
    assert.equal(await vm.end(), 0);
    tally.detail = `${soak} s, ${done} commands; kvfio vm grew by ${grown.vm} KiB, the owner by ${grown.own} KiB`;
  },
};

interface Soaked {
  chance: Chance;
  owner: WatchedVictim;
  socket: string;
  isDevice: () => boolean;
}

const one = async (tally: Tally, {chance, owner, socket, isDevice}: Soaked): Promise<void> => {
  const pid = ['--pid', String(owner.pid)];
  const at = ['--vm-sock', socket];
  const what = chance.below(12);
  if (what === 11) {
    using silent = await UnixSocket.connect(socket, Deadline.after(5000));
    await silent.send(chance.bytes(1 + chance.below(80)), [], Deadline.after(1000));
    return;
  }
  const argv = [
    change(owner.hasDevice, ...pid),
    change(owner.hasDevice, ...pid),
    change(owner.hasDevice, ...pid),
    change(isDevice(), ...at),
    change(isDevice(), ...at),
    ['status', ...pid],
    ['status', ...at],
    ['vms'],
    ['groups'],
    ['probe', '--samples', '20', '--warmup', '1', '--spread', '0'],
  ][what];
  if (argv === undefined) {
    const started = new Kvfio(change(owner.hasDevice, ...pid));
    await Promise.race([started.ended, sleep(50 + chance.below(150))]);
    started.child.kill('SIGKILL');
    await started.ended;
  } else {
    const ending = await kvfio([...argv, '--json']);
    endsProperly(ending);
    assert.equal(ending.exit, 0, `${argv.join(' ')}: ${ending.stdout}`);
  }
  await owner.check(tally, argv?.join(' ') ?? 'killed');
};
