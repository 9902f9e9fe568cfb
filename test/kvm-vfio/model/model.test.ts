import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {coherencyRule, type CoherencyRule} from '../../../src/iommu/coherency-rule.js';
import {DeviceModel, type Entry, type Vfio} from '../../../src/kvm-vfio/model/device.js';
import {ContainerModel, GroupModel} from '../../../src/kvm-vfio/model/group.js';
import {rulesOf, type KernelRules} from '../../../src/kvm-vfio/model/rules.js';
import {groupCoherency} from '../../../src/kvm-vfio/model/enforced-coherent.js';
import {VmModel} from '../../../src/kvm-vfio/model/vm.js';
import {parseKernelRelease, stableNumber} from '../../../src/host/kernel-release.js';
import {needs} from '../../support/needs.js';
import {dialogues} from './dialogue.js';
import {expectLine} from './expect-line.js';
import {ModelledMachine} from './modelled-machine.js';
import type {Machine} from './observed.js';
import {sideBySide, type Trial} from './side-by-side.js';

/** Operations that are compared. */
const OPERATIONS = Number(process.env['KVFIO_MODEL_OPERATIONS'] ?? 10_000);

const release = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
const stable = stableNumber(release, readFileSync('/proc/version', 'utf8'));

describe('the model of the kvm-vfio device', function () {
  this.timeout(600_000);

  describe('on the running kernel, without VFIO', () => {
    before(function () {
      needs(this, 'x64', 'kvm');
    });
    const trial = (wrong: Partial<KernelRules> = {}): Trial => ({
      machine: {groups: [], cdevs: false},
      verdict: 'enforced',
      rules: {...rulesOf({release, stable, coherencyRule: 'devices'}), ...wrong},
      sight: {count: null, wbinvd: null},
    });

    it('answers and leaves open what the kernel does', () => {
      const {operations, answers, difference} = sideBySide(trial(), OPERATIONS);
      assert.equal(difference, null, JSON.stringify(difference, null, 2));
      assert.ok(operations >= OPERATIONS);
      for (const one of ANSWERS) assert.ok((answers[one] ?? 0) > 0, `${one} never came`);
    });

    it('is shown wrong by the shortest sequence there is', () => {
      const {difference} = sideBySide(trial({closeReleases: false}), OPERATIONS);
      assert.deepEqual(difference?.steps, [
        'create VM: done',
        'create device vm 0: done',
        'close file 1 last true: done',
        'create device vm 0: done',
      ]);
      assert.match(difference.model, /^answer "EBUSY"/);
      assert.match(difference.kernel, /^answer "done"/);
    });
  });

  // kernels are asked the same in test/lab/model.test.ts
  for (const rule of ['devices', 'container'] as const)
    for (const {claim, lines} of dialogues(rule))
      it(`with coherency by ${rule}: ${claim}`, () => {
        for (const verdict of ['enforced', 'not-enforced'] as const) {
          const model = new ModelledMachine(MACHINE, verdict, rules(rule));
          for (const [index, {does}] of lines.entries()) {
            const action = model.actionOf(does);
            assert.ok(action, does.do);
            const answer = model.perform(action);
            expectLine(lines, index, {answer, seen: model.observe()}, verdict);
          }
        }
      });

  it('has containers and groups answer as VFIO does', () => {
    const [container, other] = [new ContainerModel(), new ContainerModel()];
    const group = new GroupModel<string>('not-enforced');
    group.plug('a device', 'not-enforced');
    const coherency = (): string[] => [group.coherency('container'), group.coherency('devices')];
    assert.equal(container.setIommu(), 'EINVAL', 'before it has a group');
    assert.deepEqual(coherency(), ['enforced', 'not-enforced']);
    assert.equal(group.setContainer(container), 'done');
    assert.deepEqual(coherency(), ['not-enforced', 'not-enforced'], 'before it has a driver');
    assert.equal(group.setContainer(other), 'EINVAL');
    assert.equal(container.setIommu(), 'done');
    assert.equal(container.setIommu(), 'EINVAL');
    assert.deepEqual(group.status(), {containerSet: true});
    const good = new GroupModel<string>('enforced');
    good.plug('another', 'enforced');
    assert.equal(good.setContainer(container), 'done');
    assert.deepEqual([good.coherency('container'), good.coherency('devices')], ['not-enforced', 'enforced']);
    assert.equal(good.unsetContainer(), 'done');
    assert.equal(good.unsetContainer(), 'EINVAL');
    group.unplug('a device');
    assert.deepEqual([group.status(), group.setContainer(other)], ['ENODEV', 'ENODEV']);
    assert.deepEqual(coherency(), ['enforced', 'enforced']);
    assert.equal(good.setContainer(container), 'done');
    assert.equal(container.setIommu(), 'done', 'the driver went with the last group');
  });

  it('judges an empty container by no driver at all, before 6.2', () => {
    const group = {snoopControl: {verdict: 'enforced', confidence: 'exact'}} as const;
    assert.equal(groupCoherency(group, 'container', 'no-driver').verdict, 'not-enforced');
    assert.equal(groupCoherency(group, 'devices', 'no-driver').verdict, 'enforced');
  });

  it('refuses what is no file of VFIO, and devices where only groups are taken', () => {
    const answers = (takesDevices: boolean): (string | null)[] =>
      (['group', 'device', 'other'] as const).map((kind) =>
        new DeviceModel(
          {...rules('devices'), takesDevices},
          {kindOf: () => kind, containerOf: () => 'none', enforcedCoherent: () => 'enforced'},
        ).add(0),
      );
    assert.deepEqual(answers(true), ['done', 'done', 'EINVAL']);
    assert.deepEqual(answers(false), ['done', 'EINVAL', 'EINVAL']);
  });

  it('takes a group before 5.19 only in a container that has its IOMMU driver', () => {
    const answers = (release: string): (string | null)[] =>
      (['none', 'no-driver', 'type1', 'unknown'] as const).map((container) =>
        new DeviceModel(
          rulesOf({release, stable: null, coherencyRule: coherencyRule(parseKernelRelease(release))}),
          {kindOf: () => 'group', containerOf: () => container, enforcedCoherent: () => 'enforced'},
        ).add(0),
      );
    assert.deepEqual(answers('5.18.19'), ['EINVAL', 'EINVAL', 'done', null]);
    assert.deepEqual(answers('5.19.0'), ['done', 'done', 'done', 'done']);
  });

  it('does not know of a VM whether it had a device that was closed, where that is not released', () => {
    const vfio: Vfio<number> = {
      kindOf: () => 'group',
      containerOf: () => 'type1',
      enforcedCoherent: () => 'enforced',
    };
    const old = rulesOf({release: '5.10.0', stable: null, coherencyRule: 'all-units'});
    const vm = new VmModel<number>(old, vfio);
    assert.equal(vm.createDevice(), 'done');
    vm.closeDevice();
    assert.equal(vm.createDevice(), 'EBUSY');
    const unseen = new VmModel<number>(old, vfio, new DeviceModel(old, vfio), false);
    assert.deepEqual([unseen.createDevice(), unseen.createDevice()], [null, 'EBUSY']);
  });

  it('remembers that KVM looked, whatever comes after', () => {
    const model = device([{lastVerdict: 'enforced', now: 'enforced', registered: false}], {
      refusedDeleteLooks: null,
    });
    const looked = [model.add(0), model.looked, model.delete(0), model.delete(0), model.looked];
    assert.deepEqual(looked, ['done', true, 'done', 'ENOENT', true]);
  });

  it('lets go what is registered where the release hides which 6.1 it is only if that is known to be 6.1.9 or newer', () => {
    const closeReleases = (stable: number | null): boolean =>
      rulesOf({release: '6.1.0-3-amd64', stable, coherencyRule: 'container'}).closeReleases;
    assert.deepEqual([null, 8, 9, 192].map(closeReleases), [false, false, true, true]);
  });

  it('takes devices since 6.6, and lets go what is registered when it is closed since 6.1.9', () => {
    const takes = (release: string | null): boolean[] => {
      const stable = release === null ? null : stableNumber(release, null);
      const {takesDevices, closeReleases} = rulesOf({release, stable, coherencyRule: 'devices'});
      return [takesDevices, closeReleases];
    };
    assert.deepEqual(
      ['5.15.0-91-generic', '6.0.19', '6.1.8', '6.1.9', '6.1.19', '6.2.0', '6.5.13'].map(takes),
      [
        [false, false],
        [false, false],
        [false, false],
        [false, true],
        [false, true],
        [false, true],
        [false, true],
      ],
    );
    assert.deepEqual(['6.6.0', '6.12.9', '7.3.1', null].map(takes), Array(4).fill([true, true]));
  });

  it('says of what is not known only what holds in any case', () => {
    // every state of three files, and every way to forget some of it
    const states = ['enforced', 'not-enforced'].flatMap((lastVerdict) =>
      ['enforced', 'not-enforced'].flatMap((now) =>
        [true, false].map((registered) => ({lastVerdict, now, registered})),
      ),
    ) as Known[];
    for (const refusedDeleteLooks of [true, false])
      for (const known of states)
        for (const other of states)
          for (const forgotten of [0, 1, 2, 3, 4, 5, 6, 7])
            for (const does of ['add', 'delete'] as const) {
              const real = device([known, other], {refusedDeleteLooks});
              const seen = device([forget(known, forgotten), other], {
                refusedDeleteLooks: forgotten & 4 ? null : refusedDeleteLooks,
              });
              const [answer, foreseen] = [real[does](0), seen[does](0)];
              const about = JSON.stringify({refusedDeleteLooks, known, other, forgotten, does, answer});
              assert.ok(foreseen === null || foreseen === answer, about);
              assert.ok(seen.coherency === 'unknown' || seen.coherency === real.coherency, about);
              assert.ok(seen.looked === null || seen.looked === real.looked, about);
              const told = device([forget(known, forgotten), other], {refusedDeleteLooks});
              told[does](0, answer);
              assert.ok(told.coherency === 'unknown' || told.coherency === real.coherency, about);
            }
  });

  it('knows all that follows from what is known', () => {
    const foreseen = (
      file: Partial<Forgotten>,
      does: 'add' | 'delete',
      looks: boolean | null = null,
    ): unknown[] => {
      const model = device([{lastVerdict: 'enforced', now: 'not-enforced', registered: null, ...file}], {
        refusedDeleteLooks: looks,
      });
      return [model[does](0), model.coherency, model.looked];
    };
    assert.deepEqual(foreseen({}, 'add'), [null, 'unknown', null]);
    assert.deepEqual(foreseen({lastVerdict: 'not-enforced'}, 'add'), [null, 'non-coherent', null]);
    assert.deepEqual(foreseen({registered: false}, 'add'), ['done', 'non-coherent', true]);
    assert.deepEqual(foreseen({registered: true}, 'add'), ['EEXIST', 'coherent', false]);
    assert.deepEqual(foreseen({}, 'delete'), [null, 'coherent', null]);
    assert.deepEqual(foreseen({}, 'delete', true), [null, 'coherent', true]);
    assert.deepEqual(foreseen({registered: true}, 'delete'), ['done', 'coherent', true]);
    assert.deepEqual(foreseen({registered: false}, 'delete'), ['ENOENT', 'coherent', null]);
    assert.deepEqual(foreseen({registered: false}, 'delete', false), ['ENOENT', 'coherent', false]);
  });
});

const ANSWERS = [
  ...['create VM: done', 'create device: done', 'create device: EBUSY', 'test device: done'],
  ...['has attribute: done', 'has attribute: ENXIO'],
  ...['set nothing: ENXIO', 'set nothing: EFAULT', 'set nothing: EPERM', 'set nothing: ENOTTY'],
  ...['add: EINVAL', 'add: EBADF', 'delete: ENOENT', 'delete: EBADF', 'close: done', 'duplicate: done'],
];

const MACHINE: Machine = {
  groups: [
    {id: 9, devices: ['0000:01:00.0']},
    {id: 11, devices: ['0000:04:00.0', '0000:05:00.0', '0000:06:00.0']},
    {id: 12, devices: ['0000:07:00.0']},
  ],
  cdevs: false,
};

const rules = (coherency: CoherencyRule): KernelRules =>
  rulesOf({release: coherency === 'devices' ? '6.12.0' : '6.1.9', stable: 9, coherencyRule: coherency});

/** A file of a device, and what KVM would be told of it now. */
type Forgotten = Omit<Entry<number>, 'file'> & {now: Entry<number>['lastVerdict']};
type Known = Forgotten & {registered: boolean};

const device = (
  files: readonly Forgotten[],
  {refusedDeleteLooks}: {refusedDeleteLooks: boolean | null},
): DeviceModel<number> =>
  new DeviceModel(
    {
      coherency: 'devices',
      takesDevices: true,
      needsContainer: false,
      closeReleases: true,
      refusedDeleteLooks,
    },
    {
      kindOf: () => 'group',
      containerOf: () => 'none',
      enforcedCoherent: (file) => files[file]?.now ?? 'unknown',
    },
    files.map(({registered, lastVerdict}, file) => ({file, registered, lastVerdict})),
  );

/** Bit 0: whether it is registered; bit 1: what KVM was told. */
const forget = (file: Known, bits: number): Forgotten => ({
  ...file,
  registered: bits & 1 ? null : file.registered,
  lastVerdict: bits & 2 ? 'unknown' : file.lastVerdict,
});
