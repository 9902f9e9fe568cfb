import assert from 'node:assert/strict';
import {EventEmitter, once} from 'node:events';
import {existsSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {constants, tmpdir} from 'node:os';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {Failure} from '../../../src/failure.js';
import {SyscallError} from '../../../src/linux/errno.js';
import {commOf} from '../../../src/linux/proc/process.js';
import {FileLock} from '../../../src/linux/lock/file-lock.js';
import {bindDevices} from '../../../src/vfio/bind/bind.js';
import type {BindDocument, UnbindDocument} from '../../../src/vfio/bind/bind-document.js';
import {recoverDevices} from '../../../src/vfio/bind/recover.js';
import {unbindDevices} from '../../../src/vfio/bind/unbind.js';
import {amd, machine, pci, type Machine} from '../../support/machine.js';
import {NATIVES, twoGroups} from '../../support/two-groups.js';
import {bindOptions as options, SimulatedBus} from './simulated-bus.js';

/** Where a journal is on disk at once, as in /run. */
const MEMORY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

const build = (): {files: Machine; bus: SimulatedBus} & Disposable => {
  const files = twoGroups(MEMORY);
  const bus = new SimulatedBus(files, NATIVES);
  return {
    files,
    bus,
    [Symbol.dispose]: () => {
      files[Symbol.dispose]();
    },
  };
};

const group = (id: number): {groups: number[]; devices: string[]} => ({groups: [id], devices: []});
const device = (address: string): {groups: number[]; devices: string[]} => ({groups: [], devices: [address]});

const failureOf = async (work: Promise<unknown>): Promise<Failure> => {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof Failure, String(error));
    return error;
  }
  throw new assert.AssertionError({message: 'it did not fail'});
};

const outcomes = ({devices}: BindDocument | UnbindDocument): Record<string, string | null> =>
  Object.fromEntries(devices.map(({address, outcome, reason}) => [address, reason ?? outcome]));

const journals = (files: Machine): string[] =>
  readdirSync(files.path('run/kvfio/bind')).filter((name) => name.endsWith('.json'));

describe('bind and unbind', () => {
  it('warn of a member that the host may need when it goes to VFIO, and not when it returns', async () => {
    const smbus = '0000:00:1f.3';
    const unit = 'ivhd0';
    using files = machine(
      {
        units: {[unit]: amd()},
        groups: {
          3: [
            pci('0000:00:1f.2', {unit, driver: 'ahci', classCode: '010601'}),
            pci(smbus, {unit, driver: 'i801_smbus', classCode: '0c0500'}),
          ],
        },
      },
      MEMORY,
    );
    const bus = new SimulatedBus(files, {'0000:00:1f.2': 'ahci', [smbus]: 'i801_smbus'});
    const needs = ({warnings}: BindDocument | UnbindDocument): string[] =>
      warnings.filter(({code}) => code === 'HOST_NEEDS').map(({message}) => message.split(',')[0] ?? '');
    const warned = ['0000:00:1f.3 is an SMBus controller'];
    assert.deepEqual(needs(await bindDevices(group(3), options(bus, {dryRun: true}))), warned);
    assert.deepEqual(needs(await bindDevices(group(3), options(bus))), warned);
    assert.deepEqual(needs(await bindDevices(group(3), options(bus))), []);
    assert.deepEqual(needs(await unbindDevices(group(3), options(bus))), []);
  });

  it('refuse a group of bridges alone, of which a VM would get nothing', async () => {
    const bridges = [
      pci('0000:00:00.0', {classCode: '060000'}),
      pci('0000:00:1c.0', {classCode: '060400', driver: 'pcieport'}),
    ];
    using files = machine({units: {ivhd0: amd()}, groups: {0: bridges}}, MEMORY);
    const bus = new SimulatedBus(files, {});
    for (const dryRun of [true, false]) {
      const failure = await failureOf(bindDevices(group(0), options(bus, {dryRun})));
      assert.deepEqual([failure.code, failure.exitCode], ['BRIDGES_ALONE', 5]);
      assert.match(failure.why, /0000:00:00\.0 and 0000:00:1c\.0 are bridges/);
    }
  });

  it('give a whole group to vfio-pci without its bridges, and return it as it was', async () => {
    using built = build();
    const {bus, files} = built;
    const before = bus.state();
    const bound = await bindDevices(group(11), options(bus, {owner: {uid: 1000, name: 'alice'}}));
    assert.deepEqual(outcomes(bound), {
      '0000:03:00.0': 'it is a bridge',
      '0000:04:00.0': 'changed',
      '0000:05:00.0': 'changed',
      '0000:06:00.0': 'changed',
    });
    assert.deepEqual(
      bound.groups.map(({group: id, node, uid, viable}) => [id, node, uid, viable]),
      [[11, '/dev/vfio/11', 1000, true]],
    );
    const vfio = ['vfio-pci', 'vfio-pci'];
    assert.deepEqual(bus.state(), {
      ...before,
      '0000:04:00.0': vfio,
      '0000:05:00.0': vfio,
      '0000:06:00.0': vfio,
    });
    assert.equal(bus.loaded.join(), 'vfio-pci');
    assert.ok(!bus.writes.some((write) => /new_id|remove_id/.test(write)));

    const again = await bindDevices(group(11), options(bus, {owner: {uid: 1000, name: 'alice'}}));
    assert.equal(again.changed, false);
    const unbound = await unbindDevices(group(11), options(bus));
    assert.equal(unbound.changed, true);
    assert.deepEqual(bus.state(), before);
    assert.deepEqual(journals(files), []);
    assert.equal((await unbindDevices(group(11), options(bus))).changed, false);
  });

  it('say in a dry run what they then do', async () => {
    using built = build();
    const {bus} = built;
    const owner = {uid: 1000, name: 'alice'};
    const before = bus.state();
    const predicted = await bindDevices(group(11), options(bus, {dryRun: true, owner}));
    assert.deepEqual([bus.state(), bus.writes], [before, []]);
    const done = await bindDevices(group(11), options(bus, {owner}));
    assert.deepEqual(predicted.steps, done.steps);
    assert.deepEqual(
      predicted.devices.map(({after}) => after),
      done.devices.map(({after}) => after),
    );
    assert.deepEqual([predicted.groups[0]?.viable, predicted.modules], [true, ['vfio-pci']]);
    const back = await unbindDevices(group(11), options(bus, {dryRun: true}));
    const returned = await unbindDevices(group(11), options(bus));
    assert.deepEqual(back.steps, returned.steps);
    const viability = ({groups}: UnbindDocument): unknown =>
      groups.map(({viable, blockers}) => [viable, blockers]);
    assert.deepEqual(viability(back), viability(returned));
    assert.equal(returned.groups[0]?.viable, false);
  });

  it('are not done when another program has changed a device at the end', async () => {
    using built = build();
    const {bus, files} = built;
    const before = bus.state();
    const other = (path: string, text: string): void => {
      void new SimulatedBus(files, NATIVES).write(path, text);
    };
    const [NIC, LAST] = ['0000:04:00.0', '0000:06:00.0'];
    let acted = false;
    bus.observe = (did) => {
      if (
        acted ||
        did !== 'write /sys/bus/pci/drivers/vfio-pci/bind' ||
        bus.state()[LAST]?.[0] !== 'vfio-pci'
      )
        return;
      acted = true;
      other('/sys/bus/pci/drivers/vfio-pci/unbind', NIC);
    };
    const {exitCode, code, why} = await failureOf(bindDevices(group(11), options(bus)));
    assert.deepEqual([exitCode, code], [9, 'CHANGED_BY_OTHERS']);
    assert.match(why, /now 0000:04:00\.0 has no driver/);
    assert.deepEqual(bus.state(), before);
    assert.deepEqual(journals(files), []);
  });

  it('are not done when a rule of udev undoes them', async () => {
    using built = build();
    const {bus, files} = built;
    const before = bus.state();
    const setting = bus.setting();
    const settled = (): Promise<void> =>
      new SimulatedBus(files, NATIVES).write('/sys/bus/pci/drivers/vfio-pci/unbind', '0000:04:00.0');
    let events = 0;
    const rules = {
      ...setting,
      nodes: {...setting.nodes, settled: () => (events++ === 0 ? settled() : Promise.resolve())},
    };
    const {exitCode, code} = await failureOf(bindDevices(group(11), options(bus, {setting: rules})));
    assert.deepEqual([exitCode, code], [9, 'CHANGED_BY_OTHERS']);
    assert.deepEqual(bus.state(), before);
  });

  it('are refused by a dry run as they are after work that was cut short', async () => {
    using built = build();
    const {bus} = built;
    let changes = 0;
    bus.observe = () => {
      if (++changes === 5) throw new Error('killed');
    };
    await assert.rejects(bindDevices(group(11), options(bus)));
    bus.observe = () => undefined;
    for (const work of [bindDevices, unbindDevices])
      for (const dryRun of [true, false])
        assert.equal((await failureOf(work(group(11), options(bus, {dryRun})))).code, 'INTERRUPTED');
    await recoverDevices(options(bus));
    assert.equal((await bindDevices(group(11), options(bus, {dryRun: true}))).changed, true);
  });

  it('do not call a device returned that VFIO takes again by its ids', async () => {
    using built = build();
    const {bus, files} = built;
    const setting = bus.setting();
    await setting.loadModule('vfio_pci');
    const address = '0000:07:00.0';
    const vfio = new SimulatedBus(files, {...NATIVES, [address]: 'vfio-pci'});
    await vfio.write('/sys/bus/pci/drivers/e1000e/unbind', address);
    await vfio.write('/sys/bus/pci/drivers_probe', address);
    const before = vfio.state();
    const failure = await failureOf(unbindDevices(group(12), options(vfio, {force: ['foreign']})));
    assert.deepEqual([failure.exitCode, failure.code], [6, 'STILL_VFIO']);
    assert.match(failure.why, /has vfio-pci again/);
    assert.deepEqual(vfio.state(), before);
  });

  it('leave nothing changed when any write is refused, and say what was undone', async () => {
    for (const errno of ['EINVAL', 'EBUSY', 'ENODEV'] as const) {
      let refused = 0;
      for (let at = 1; ; at++) {
        using built = build();
        const {bus, files} = built;
        const before = bus.state();
        bus.failing = {at, count: 1, errno};
        const failure = await bindDevices(group(11), options(bus, {owner: {uid: 1000, name: 'alice'}})).then(
          () => null,
          (error: unknown) => error,
        );
        if (failure === null) break;
        assert.ok(failure instanceof Failure);
        refused++;
        assert.deepEqual(bus.state(), before, `write ${at}`);
        assert.deepEqual(journals(files), []);
        assert.equal(bus.nodes.size, 0);
        assert.equal(failure.errno, errno);
        assert.equal(failure.exitCode, at === 1 ? 6 : 9, failure.message);
        if (at > 1) assert.match(failure.why, /Undone: /);
      }
      assert.equal(refused, 8, 'every write of the transaction was refused once');
    }
  });

  it('return a whole group or nothing', async () => {
    using built = build();
    const {bus} = built;
    await bindDevices(group(11), options(bus));
    const before = bus.state();
    const start = bus.writes.length;
    for (let at = 1; at <= 8; at++) {
      bus.failing = {at: bus.writes.length + at, count: 1, errno: 'EBUSY'};
      await failureOf(unbindDevices(group(11), options(bus)));
      assert.deepEqual(bus.state(), before, `write ${at}`);
    }
    assert.ok(bus.writes.length > start);
    bus.failing = {at: Infinity, count: 0, errno: 'EBUSY'};
    await unbindDevices(group(11), options(bus));
    assert.deepEqual(bus.state(), build().bus.state());
  });

  it('recover everything wherever they were cut short', async () => {
    for (const command of ['bind', 'unbind'] as const) {
      let cuts = 0;
      for (let at = 1; at < 40; at++) {
        using built = build();
        const {bus, files} = built;
        const original = bus.state();
        const owner = {uid: 1000, name: 'alice'};
        if (command === 'unbind') await bindDevices(group(11), options(bus, {owner}));
        const before = bus.state();
        let changes = 0;
        bus.observe = () => {
          if (++changes === at) throw new Error('killed');
        };
        const work =
          command === 'bind'
            ? bindDevices(group(11), options(bus, {owner}))
            : unbindDevices(group(11), options(bus));
        const cut = await work.then(
          () => false,
          () => true,
        );
        bus.observe = () => undefined;
        if (!cut) break;
        cuts++;
        const interrupted = journals(files).some((name) =>
          readFileSync(files.path(join('run/kvfio/bind', name)), 'utf8').includes('"open"'),
        );
        if (interrupted) {
          assert.equal((await failureOf(bindDevices(group(11), options(bus)))).code, 'INTERRUPTED');
        }
        const recovered = await recoverDevices(options(bus));
        assert.equal(recovered.recover, true);
        // what was cut short before its journal, or after its end, is not half-way
        const state = interrupted || command === 'bind' ? original : before;
        const finished = !interrupted && at > 10;
        if (!finished) assert.deepEqual(bus.state(), state, `${command} after change ${at}`);
        assert.equal((await recoverDevices(options(bus))).changed, false);
      }
      assert.ok(cuts >= 12, `${cuts} changes were cut off after`);
    }
  });

  it('cannot be recovered while the cause lasts, and then can', async () => {
    using built = build();
    const {bus} = built;
    const before = bus.state();
    bus.failing = {at: 5, count: 100, errno: 'EBUSY'};
    const failure = await failureOf(bindDevices(group(11), options(bus)));
    assert.equal(failure.code, 'ROLLBACK_INCOMPLETE');
    assert.match(failure.hint, /unbind --recover/);
    assert.notDeepEqual(bus.state(), before);
    assert.equal((await failureOf(recoverDevices(options(bus)))).code, 'NOT_RECOVERED');
    bus.failing = {at: Infinity, count: 0, errno: 'EBUSY'};
    await recoverDevices(options(bus));
    assert.deepEqual(bus.state(), before);
  });

  it('can be recovered when their end could not be noted down', async () => {
    using built = build();
    const {bus, files} = built;
    const before = bus.state();
    bus.before = {
      at: 8,
      act: () => {
        const [journal] = journals(files);
        assert.ok(journal !== undefined);
        const room = `run/kvfio/bind/${journal.replace('.json', '.0.room')}`;
        files.remove(room);
        files.write(`${room}/in-the-way`, '');
      },
    };
    const failure = await failureOf(bindDevices(group(11), options(bus)));
    assert.deepEqual([failure.code, failure.errno], ['JOURNAL_NOT_WRITTEN', 'EISDIR']);
    assert.match(failure.hint, /unbind --recover/);
    assert.equal((await recoverDevices(options(bus))).changed, true);
    assert.deepEqual(bus.state(), before);
  });

  it('put the others back when a device vanishes half-way', async () => {
    for (const at of [2, 4, 5, 7]) {
      using built = build();
      const {bus, files} = built;
      const others = bus.state();
      Reflect.deleteProperty(others, '0000:05:00.0');
      bus.before = {
        at,
        act: () => {
          bus.unplug('0000:05:00.0');
        },
      };
      const failure = await bindDevices(group(11), options(bus)).then(
        () => null,
        (error: unknown) => error as Failure,
      );
      if (failure === null) continue; // it was done with already
      assert.ok(failure instanceof Failure);
      assert.deepEqual(bus.state(), others, `before write ${at}`);
      assert.deepEqual(journals(files), []);
    }
  });

  it('notice when another program undoes a write at once', async () => {
    using built = build();
    const {bus} = built;
    const before = bus.state();
    const override = built.files.path('sys/devices/pci0000:07/0000:07:00.0/driver_override');
    bus.observe = (did) => {
      if (did.endsWith('/driver_override')) bus.observe = () => undefined;
    };
    bus.before = {
      at: 3,
      act: () => {
        writeFileSync(override, 'pci-stub\n');
      },
    };
    const failure = await failureOf(bindDevices(group(12), options(bus)));
    assert.equal(failure.errno, 'ENODEV');
    assert.deepEqual(bus.state(), before);
  });

  it('leave to VFIO what kvfio did not bind, and take it only when told', async () => {
    using built = build();
    const {bus} = built;
    const before = bus.state();
    await bindDevices(group(11), options(bus));
    built.files.remove('run/kvfio/bind');
    const after = bus.state();
    const NIC_OF_GROUP = device('0000:04:00.0');
    const refusal = await failureOf(unbindDevices(NIC_OF_GROUP, options(bus)));
    assert.deepEqual([refusal.code, refusal.exitCode], ['GUARD_FOREIGN', 5]);
    assert.match(refusal.hint, /--force-foreign/);
    const predicted = await unbindDevices(NIC_OF_GROUP, options(bus, {dryRun: true}));
    assert.deepEqual(predicted.steps, []);
    assert.deepEqual([...new Set(predicted.refused.map(({guard}) => guard))], ['foreign']);
    const whole = await unbindDevices(group(11), options(bus));
    assert.deepEqual([whole.changed, whole.refused], [false, []]);
    assert.deepEqual([...new Set(whole.warnings.map(({code}) => code))], ['FOREIGN']);
    assert.deepEqual(bus.state(), after);
    const told = await unbindDevices(group(11), options(bus, {force: ['foreign']}));
    assert.deepEqual([...new Set(told.overruled.map(({guard}) => guard))], ['foreign']);
    const drivers = (state: ReturnType<typeof bus.state>): (string | null | undefined)[] =>
      Object.values(state).map(([driver]) => driver);
    assert.deepEqual(drivers(bus.state()), drivers(before));
    const nothing = await unbindDevices(group(11), options(bus));
    assert.deepEqual(
      [nothing.changed, nothing.refused],
      [false, []],
      'what VFIO does not have is no refusal',
    );
  });

  it('return what kvfio bound of a group beside what it did not, and warn of the rest', async () => {
    using built = build();
    const {bus} = built;
    const before = bus.state();
    await bindDevices(group(12), options(bus));
    built.files.remove('run/kvfio/bind');
    await bindDevices(group(11), options(bus));
    const {warnings, devices} = await unbindDevices({groups: [11, 12], devices: []}, options(bus));
    assert.deepEqual(bus.state(), {...before, '0000:07:00.0': ['vfio-pci', 'vfio-pci']});
    assert.deepEqual(
      warnings.map(({code, message}) => [code, message.split(' ', 1)[0]]),
      [['FOREIGN', '0000:07:00.0']],
    );
    assert.match(devices.find(({address}) => address === '0000:07:00.0')?.reason ?? '', /did not bind it/);
  });

  it('give back what somebody else bound by clearing its override and probing', async () => {
    using built = build();
    const {bus} = built;
    const before = bus.state();
    await bindDevices(device('7:0.0'), options(bus));
    for (const name of journals(built.files)) {
      writeFileSync(built.files.path(join('run/kvfio/bind', name)), '');
    }
    const damaged = await failureOf(unbindDevices(group(12), options(bus)));
    assert.deepEqual([damaged.code, damaged.exitCode], ['JOURNAL_DAMAGED', 8]);
    built.files.remove('run/kvfio/bind');
    const start = bus.writes.length;
    const force = ['foreign'] as const;
    const predicted = await unbindDevices(group(12), options(bus, {dryRun: true, force}));
    assert.equal(predicted.groups[0]?.viable, null, 'who knows which driver the kernel finds');
    await unbindDevices(group(12), options(bus, {force}));
    assert.deepEqual(bus.state(), before);
    assert.equal(bus.writes.slice(start).at(-1), '/sys/bus/pci/drivers_probe 0000:07:00.0');
  });

  it('keep what one device was when another of the same bind is returned', async () => {
    using built = build();
    const {bus} = built;
    const before = bus.state();
    await bindDevices({groups: [11, 12], devices: []}, options(bus));
    await unbindDevices(device('0000:05:00.0'), options(bus));
    assert.deepEqual(bus.state()['0000:05:00.0'], before['0000:05:00.0']);
    assert.deepEqual(bus.state()['0000:04:00.0'], ['vfio-pci', 'vfio-pci']);
    await unbindDevices({groups: [11, 12], devices: []}, options(bus));
    assert.deepEqual(bus.state(), before);
  });

  it('do not touch another device that has come to the same place', async () => {
    using built = build();
    const {bus} = built;
    await bindDevices(group(12), options(bus));
    const folder = 'sys/devices/pci0000:07/0000:07:00.0';
    writeFileSync(built.files.path(`${folder}/device`), '0x10c9\n');
    assert.equal((await unbindDevices(group(12), options(bus))).changed, false);
    await unbindDevices(group(12), options(bus, {force: ['foreign']}));
    // by its ids, not by what the other one was
    assert.deepEqual(bus.state()['0000:07:00.0'], ['e1000e', '(null)']);
  });

  it('take what a former boot left for done', async () => {
    using built = build();
    const {bus, files} = built;
    files.write('proc/sys/kernel/random/boot_id', 'first\n');
    let changes = 0;
    bus.observe = () => {
      if (++changes === 5) throw new Error('power cut');
    };
    await assert.rejects(bindDevices(group(11), options(bus)));
    bus.observe = () => undefined;
    files.write('proc/sys/kernel/random/boot_id', 'second\n');
    const writes = bus.writes.length;
    const recovered = await recoverDevices(options(bus));
    assert.equal(recovered.changed, false);
    assert.deepEqual(
      recovered.warnings.map(({code}) => code),
      ['FROM_ANOTHER_BOOT'],
    );
    assert.equal(bus.writes.length, writes);
    assert.deepEqual(journals(files), []);
  });

  it('wait for another kvfio that is at work with the same devices', async () => {
    using built = build();
    const {bus, files} = built;
    const both = await Promise.all([
      bindDevices(group(11), options(bus)),
      bindDevices({groups: [11, 12], devices: []}, options(bus)),
    ]);
    assert.deepEqual(
      both.map(({changed}) => changed),
      [true, true],
    );
    assert.equal(bus.writes.length, 8 + 3, 'nothing was done twice');
    using lock = FileLock.tryTake(files.path('run/kvfio/bind/0000:07:00.0.lock'));
    assert.ok(lock);
    const notes: string[] = [];
    const onNote = (line: string): void => void notes.push(line);
    const busy = await failureOf(unbindDevices(group(12), options(bus, {timeout: 3, onNote})));
    assert.deepEqual([busy.code, busy.exitCode], ['DEVICE_BUSY', 124]);
    assert.deepEqual(notes, ['waiting for another process to let go of 0000:07:00.0']);
    assert.match(busy.why, new RegExp(`Process ${process.pid} \\(${commOf(process.pid)}\\)`));
  });

  it('are not undone by a recovery that has not locked their devices', async () => {
    using built = build();
    const {bus, files} = built;
    let changes = 0;
    bus.observe = () => {
      if (++changes === 5) throw new Error('killed');
    };
    await assert.rejects(bindDevices(group(11), options(bus)));
    bus.observe = () => undefined;
    const held = FileLock.tryTake(files.path('run/kvfio/bind/0000:04:00.0.lock'));
    assert.ok(held);
    const recovery = recoverDevices(options(bus, {timeout: 5}));
    // in the midst of its writes when the recovery gets its locks
    const paused = new EventEmitter();
    const [begun, written] = [once(paused, 'begun'), once(paused, 'written')];
    let first = true;
    const slow = {
      ...bus.setting(),
      writer: () => ({
        write: async (path: string, text: string) => {
          await bus.write(path, text);
          if (!first) return;
          first = false;
          paused.emit('begun');
          await written;
        },
      }),
    };
    const live = bindDevices(group(12), options(bus, {setting: slow}));
    await begun;
    held[Symbol.dispose]();
    await sleep(200);
    assert.deepEqual(bus.state()['0000:07:00.0'], ['e1000e', 'vfio-pci'], 'half-way, and left alone');
    paused.emit('written');
    assert.equal((await live).changed, true);
    const recovered = await recovery;
    assert.ok(recovered.devices.every(({address}) => address !== '0000:07:00.0'));
    assert.deepEqual(bus.state()['0000:07:00.0'], ['vfio-pci', 'vfio-pci']);
    assert.deepEqual(bus.state()['0000:04:00.0'], ['e1000e', '(null)']);
  });

  it('that only give a node away can be cut short and recovered, too', async () => {
    using built = build();
    const {bus} = built;
    await bindDevices(group(11), options(bus));
    const owner = (): number | undefined => bus.nodes.get('/dev/vfio/11')?.uid;
    bus.observe = (did) => {
      if (did.startsWith('chown')) throw new Error('killed');
    };
    await assert.rejects(bindDevices(group(11), options(bus, {owner: {uid: 1000, name: 'alice'}})));
    bus.observe = () => undefined;
    const bob = {uid: 2000, name: 'bob'};
    for (const again of [
      () => bindDevices(group(11), options(bus, {owner: bob})),
      () => bindDevices(device('0000:05:00.0'), options(bus, {owner: bob})),
      () => unbindDevices(group(11), options(bus)),
    ])
      assert.equal((await failureOf(again())).code, 'INTERRUPTED');
    const setting = bus.setting();
    const give = (): never => {
      throw new SyscallError('chown', constants.errno.EROFS, '/dev/vfio/11');
    };
    const refused = await failureOf(
      recoverDevices(options(bus, {setting: {...setting, nodes: {...setting.nodes, give}}})),
    );
    assert.deepEqual([refused.code, refused.errno], ['NOT_RECOVERED', 'EROFS']);
    assert.match(refused.why, /give \/dev\/vfio\/11 to user 0/);
    const recovered = await recoverDevices(options(bus));
    assert.deepEqual([recovered.changed, owner()], [true, 0]);
    assert.deepEqual(
      recovered.steps.map(({does}) => does),
      ['give /dev/vfio/11 to user 0'],
    );
    assert.equal((await recoverDevices(options(bus))).changed, false);
    await bindDevices(group(11), options(bus, {owner: bob}));
    assert.equal(owner(), 2000);
  });

  it('clear away what a killed kvfio did not finish writing', async () => {
    using built = build();
    const {bus, files} = built;
    files.write('run/kvfio/bind/000001-1.json.tmp', 'half');
    await bindDevices(group(12), options(bus));
    assert.deepEqual(
      readdirSync(files.path('run/kvfio/bind')).filter((name) => name.endsWith('.tmp')),
      [],
    );
  });

  it('refuse what vfio-pci never drives', async () => {
    using built = build();
    const bridge = await failureOf(bindDevices(device('0000:03:00.0'), options(built.bus)));
    assert.deepEqual([bridge.code, bridge.exitCode], ['CANNOT_BIND', 5]);
    assert.equal((await failureOf(bindDevices(group(99), options(built.bus)))).exitCode, 3);
    assert.equal((await failureOf(bindDevices(device('9:0.0'), options(built.bus)))).exitCode, 3);
    using none = machine({ungrouped: [pci('0000:01:00.0', {driver: 'e1000e'})]});
    const bus = new SimulatedBus(none, {'0000:01:00.0': 'e1000e'});
    const groupless = await failureOf(bindDevices(device('1:0.0'), options(bus)));
    assert.match(groupless.why, /no IOMMU group/);
  });
});
