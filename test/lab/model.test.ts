import assert from 'node:assert/strict';
import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {dialogues} from '../kvm-vfio/model/dialogue.js';
import {expectLine} from '../kvm-vfio/model/expect-line.js';
import {guestProgram} from '../support/guest-program.js';
import {kernelElf} from '../support/kernel-elf.js';
import {lab} from '../support/lab.js';
import {PROJECT} from '../support/run.js';
import {skip} from '../support/skip.js';
import {scratch} from '../vm/vmm.js';
import type {ModelTranscript} from './model-in-lab.js';

/** A kernel with IOMMUFD, which the distribution's have not. */
const IOMMUFD =
  process.env['KVFIO_IOMMUFD_KERNEL'] ?? join(PROJECT, '../shared/lab/linux-6.12-iommufd.bzImage');

/** Operations that are compared on each kernel, half of them with snoop control. */
const OPERATIONS = Number(process.env['KVFIO_MODEL_OPERATIONS'] ?? 10_000);

const KERNELS = [
  {name: '6.1', kernel: '6.1', rule: 'container', cdevs: false},
  {name: '6.12', kernel: '6.12', rule: 'devices', cdevs: false},
  {name: '6.12 with IOMMUFD', kernel: IOMMUFD, rule: 'devices', cdevs: true},
] as const;

const ANSWERS = [
  ...['create VM: done', 'create device: done', 'create device: EBUSY', 'close: done', 'duplicate: done'],
  ...['add: done', 'add: EEXIST', 'add: EINVAL', 'add: EBADF'],
  ...['delete: done', 'delete: ENOENT', 'delete: EBADF'],
  ...['open group: done', 'open group: EBUSY', 'open group: ENOENT'],
  ...['set container: done', 'set container: EINVAL', 'set IOMMU: done', 'set IOMMU: EINVAL'],
  ...['unset container: done', 'unset container: EINVAL', 'unplug: done', 'plug: done'],
];

/** The shortest sequence by which a rule shows that is not this kernel's, see model-in-lab.ts. */
const WRONG: Partial<Record<string, string[]>> = {
  '6.1': ['create VM', 'create device', 'open group', 'add'],
  '6.12': ['create VM', 'create device', 'open group', 'add'],
  '6.12 with IOMMUFD': ['create VM', 'create device', 'open cdev', 'add'],
};

describe('the model of the kvm-vfio device (lab)', function () {
  this.timeout(1_200_000);

  for (const {name, kernel, rule, cdevs} of KERNELS)
    describe(`on ${name}`, () => {
      before(function () {
        if (kernel === IOMMUFD && !existsSync(kernel))
          skip(this, `there is no kernel with IOMMUFD at ${kernel}`);
      });
      for (const iommu of ['intel', 'intel-snoop'] as const) {
        const verdict = iommu === 'intel' ? 'not-enforced' : 'enforced';

        describe(`with ${iommu}`, () => {
          let seen: ModelTranscript;
          before(async function () {
            using folder = scratch();
            const program = guestProgram(folder.path('.'), 'lab/model-in-lab.ts');
            if (kernel === IOMMUFD) writeFileSync(folder.path('vmlinux'), kernelElf(kernel));
            const {exitCode, stderr} = await lab(this, {
              kernel,
              iommu,
              out: folder.path('.'),
              task: {
                script: `cd "$KVFIO_LAB_OUT" && exec node ${program} seen.json ${Math.ceil(OPERATIONS / 2)}`,
              },
            });
            assert.equal(exitCode, 0, stderr.toString());
            seen = JSON.parse(readFileSync(folder.path('seen.json'), 'utf8')) as ModelTranscript;
          });

          it('answers, opens and decides what the kernel does', function () {
            const {operations, sequences, seconds, seed, difference, answers, noncoherent} = seen.report;
            assert.equal(
              difference,
              null,
              `seed ${seed}, after ${operations} operations:\n${JSON.stringify(difference, null, 2)}`,
            );
            assert.ok(operations >= OPERATIONS / 2);
            assert.equal(seen.countedBy, cdevs ? 'writes' : 'calls');
            assert.equal(seen.verdict, verdict);
            if (this.test)
              this.test.title += ` (${operations} operations in ${sequences} sequences, ${seconds} s)`;
            for (const one of [...ANSWERS, ...(cdevs ? ['open cdev: done'] : [])])
              assert.ok((answers[one] ?? 0) > 0, `${one} never came`);
            if (verdict === 'enforced' && rule === 'devices') assert.equal(noncoherent, 0);
            else assert.ok(noncoherent > 0);
          });

          for (const [which, {claim, lines}] of dialogues(rule).entries())
            it(claim, () => {
              const heard = seen.dialogues[which];
              assert.ok(heard);
              assert.deepEqual([heard.difference, heard.steps.length], [null, lines.length]);
              for (const [index, step] of heard.steps.entries()) expectLine(lines, index, step, verdict);
            });

          if (cdevs)
            it('keeps a device from leaving that KVM holds by its own file, until the VM is torn down', () => {
              assert.deepEqual(seen.blocked, {whileHeld: 'waits', afterClose: 'gone'});
            });

          const wrong = verdict === 'not-enforced' ? WRONG[name] : undefined;
          if (wrong !== undefined)
            it(`is shown wrong by the shortest sequence there is: ${wrong.join(', ')}`, () => {
              const {kinds = []} = seen.wrong?.difference ?? {};
              assert.deepEqual([...kinds].sort(), [...wrong].sort(), JSON.stringify(seen.wrong, null, 2));
            });
        });
      }
    });
});
