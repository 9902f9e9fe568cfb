import assert from 'node:assert/strict';
import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ChangeDocument} from '../../src/kvm-vfio/change-document.js';
import type {StatusDocument} from '../../src/kvm-vfio/status.js';
import {guestProgram} from '../support/guest-program.js';
import {lab} from '../support/lab.js';
import {PROJECT} from '../support/run.js';
import {skip} from '../support/skip.js';
import {compile, scratch} from '../vm/vmm.js';
import type {CdevTranscript, Step} from './cdev-in-lab.js';
import type {Answer} from './lab-changes.js';

/** A kernel with IOMMUFD, which the distribution's have not. */
const KERNEL =
  process.env['KVFIO_IOMMUFD_KERNEL'] ?? join(PROJECT, '../shared/lab/linux-6.12-iommufd.bzImage');

/** How many WBINVDs of the guest follow each step, as in cdev-in-lab.ts. */
const WBINVDS = 20;

describe('attaching a device by its VFIO node (lab)', function () {
  this.timeout(600_000);
  before(function () {
    if (!existsSync(KERNEL)) skip(this, `there is no kernel with IOMMUFD at ${KERNEL}`);
  });

  for (const [iommu, coherent] of [
    ['intel', false],
    ['intel-snoop', true],
  ] as const) {
    describe(`with ${iommu}`, () => {
      let seen: CdevTranscript;
      before(async function () {
        using folder = scratch();
        compile(join(PROJECT, 'test/vm/wbinvd-vmm.c'), folder.path('wbinvd-vmm'));
        const program = guestProgram(folder.path('.'), 'lab/cdev-in-lab.ts');
        const {exitCode, stderr} = await lab(this, {
          kernel: KERNEL,
          iommu,
          out: folder.path('.'),
          task: {script: `cd "$KVFIO_LAB_OUT" && exec node ${program} ./wbinvd-vmm seen.json`},
        });
        assert.equal(exitCode, 0, stderr.toString());
        seen = JSON.parse(readFileSync(folder.path('seen.json'), 'utf8')) as CdevTranscript;
      });

      /** KVM executes WBINVD exactly when kvfio says that the VM is non-coherent. */
      const expectState = (step: Step, state: 'coherent' | 'non-coherent'): void => {
        const {answer, executed, name} = step;
        if ('after' in answer && !answer.dryRun) assert.equal(answer.after.state, state, name);
        if ('coherency' in answer) assert.equal(answer.coherency.state, state, name);
        if (state === 'coherent') assert.ok(executed < WBINVDS / 2, `${name}: ${executed} executed`);
        else assert.ok(executed >= WBINVDS, `${name}: ${executed} executed`);
      };
      const attached = coherent ? 'coherent' : 'non-coherent';

      for (const way of ['agent', 'inject'] as const) {
        it(`by ${way}, has WBINVD executed exactly when it says so`, () => {
          const expected: [
            name: string,
            outcome: string,
            state: 'coherent' | 'non-coherent',
            holders: number,
          ][] = [
            ['predicted', 'planned true', 'coherent', 0],
            ['attached', 'added true', attached, 1],
            ['again', 'already false', attached, 1],
            ['verified', 'true true', attached, 1],
            ['added', 'EEXIST 6', attached, 1],
            ['deleted', 'deleted true', 'coherent', way === 'agent' ? 0 : 1],
            ['deleted again', 'ENOENT 6', 'coherent', way === 'agent' ? 0 : 1],
            ['attached again', 'added true', attached, 1],
            ['detached', 'deleted true', 'coherent', 0],
            ['attached at last', 'added true', attached, 1],
          ];
          assert.deepEqual(
            seen.steps[way].map(({name, answer, holders}) => [name, outcomeOf(answer), holders]),
            expected.map(([name, outcome, , holders]) => [name, outcome, holders]),
          );
          for (const [index, [, , state]] of expected.entries()) {
            const step = seen.steps[way][index];
            assert.ok(step);
            expectState(step, state);
          }
        });

        it(`by ${way}, says which file it is, and predicts what then happens`, () => {
          const [predicted, done] = seen.steps[way].map(({answer}) => answer as ChangeDocument);
          assert.ok(predicted && done);
          assert.deepEqual(predicted.steps, done.steps);
          assert.deepEqual(predicted.after, done.after);
          const [file] = done.files;
          assert.deepEqual(
            [file?.kind, file?.cdev, file?.group, file?.verdict, file?.confidence],
            ['cdev', seen.device, seen.group, coherent ? 'enforced' : 'not-enforced', 'exact'],
          );
          const verified = seen.steps[way][3]?.answer as StatusDocument;
          assert.deepEqual(
            verified.files.map(({kind, cdev, given, devices}) => [kind, cdev, given, devices]),
            [['cdev', seen.device, true, [seen.device]]],
          );
        });
      }

      it('takes two opens of one device for two files, beside its group, and leaves open what the VMM opened', () => {
        const [one, two, verified, detached] = seen.twice;
        assert.ok(one && two && verified && detached);
        const names = ({answer}: Step): unknown[] =>
          (answer as ChangeDocument | StatusDocument).files.map((file) => [
            file.kind,
            'outcome' in file ? file.outcome : file.registered,
          ]);
        assert.deepEqual(names(one), [
          ['cdev', 'added'],
          ['cdev', 'added'],
        ]);
        assert.deepEqual(names(two), [['group', 'added']]);
        assert.deepEqual(names(verified), [
          ['group', true],
          ['cdev', true],
          ['cdev', true],
        ]);
        assert.deepEqual(names(detached), [
          ['group', 'deleted'],
          ['cdev', 'deleted'],
          ['cdev', 'deleted'],
        ]);
        assert.deepEqual(
          seen.twice.map(({holders}) => holders),
          [1, 1, 1, 1],
        );
        for (const step of [one, two, verified]) expectState(step, attached);
        expectState(detached, 'coherent');
      });

      it("rests on the kernel's own answers", () => {
        assert.deepEqual(Object.fromEntries(seen.direct), {
          ADD: 'done',
          'ADD of a second descriptor of the file': 'EEXIST',
          'ADD of a second open of the node': 'done',
          'open of the group': 'done',
          'open of the node while the group is open': 'done',
          'ADD of the group': 'done',
          'DEL of the group': 'done',
          DEL: 'done',
          'second DEL': 'ENOENT',
          'DEL of the second open': 'done',
        });
      });

      it('is refused for a device that another process uses, or that another driver has', () => {
        const {busyDevice, busyGroup, unbound} = seen.refused;
        assert.deepEqual(
          [busyDevice, busyGroup, unbound].map((answer) => 'code' in answer && [answer.code, answer.exit]),
          [
            ['CDEV_BUSY', 5],
            ['CDEV_BUSY', 5],
            ['CDEV_NOT_BOUND', 5],
          ],
        );
        assert.match(JSON.stringify(busyGroup), /process \d+ \(wbinvd-vmm\) has it or its group/);
        assert.match(JSON.stringify(unbound), /bound to nvme/);
      });

      it('leaves nothing open that would keep the device from being unbound', () => {
        assert.equal(seen.released, true);
      });
    });
  }
});

/** A step in two words: outcome and whether something changed, registered and given, or errno and exit code. */
const outcomeOf = (answer: Answer): string => {
  if ('code' in answer) return `${answer.errno ?? answer.code} ${answer.exit}`;
  const [file] = answer.files;
  if (file === undefined) return 'no file';
  return 'outcome' in file
    ? `${file.outcome} ${'changed' in answer ? answer.changed : ''}`
    : `${file.registered} ${file.given}`;
};
