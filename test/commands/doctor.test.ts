import assert from 'node:assert/strict';
import {join} from 'node:path';
import type {ErrorDocument} from '../../src/cli/output/report.js';
import Doctor from '../../src/commands/doctor.js';
import {PURPOSES} from '../../src/doctor/check.js';
import type {DoctorDocument} from '../../src/doctor/doctor.js';
import {intel, machine, pci} from '../support/machine.js';
import {needs} from '../support/needs.js';
import {PROJECT, run, start} from '../support/run.js';
import {documentOf} from '../support/schema.js';

describe('kvfio doctor', () => {
  it('exits with 7 exactly when something that is needed fails', async () => {
    for (const purpose of [null, ...PURPOSES]) {
      const {exit, stdout} = await run(Doctor, ['--json', ...(purpose === null ? [] : ['--for', purpose])]);
      const document = documentOf<DoctorDocument>(stdout, 'doctor');
      const failing = document.checks.filter(({needed, state}) => needed && state === 'fail');
      assert.equal(document.purpose, purpose);
      assert.deepEqual([document.failed, document.ready], [failing.length, failing.length === 0]);
      assert.equal(exit, failing.length > 0 ? 7 : 0);
    }
  });

  it('says in words what it says in JSON, and in fewer of what passes', async () => {
    const {checks} = JSON.parse((await run(Doctor, ['--json'])).stdout) as DoctorDocument;
    const {stdout} = await run(Doctor, []);
    for (const {title, otherwise, seen, state, matters, needed} of checks) {
      const label = state === 'pass' ? 'pass' : state === 'unknown' ? '?' : needed ? 'FAIL' : 'note';
      assert.ok(
        stdout.includes(`${label.padEnd(6)}${label === 'note' ? otherwise : title}: ${seen}\n`),
        title,
      );
      assert.equal(
        stdout.includes(`${matters.charAt(0).toUpperCase()}${matters.slice(1)}.`),
        state !== 'pass',
      );
    }
  });

  it('diagnoses another machine by its files and its log, and leaves undecided what only the machine answers', async () => {
    using built = machine({
      units: {dmar0: intel('f050da')},
      groups: {
        1: {
          devices: [pci('0000:04:00.0', {unit: 'dmar0'})],
          regions: '0x00000000bddde000 0x00000000bdddefff direct\n',
        },
      },
      interrupts: ' 0: 22 IO-APIC 2-edge timer\n',
      commandLine: 'intremap=off',
    });
    built.write(
      'dmesg',
      "[    1.0] vfio-pci 0000:04:00.0: BAR 1: can't reserve [mem 0xc0000000-0xcfffffff]\n",
    );
    const argv = ['--json', '--for', 'passthrough', '--sysroot', built.root, '--log', built.path('dmesg')];
    const {exit, stdout} = await run(Doctor, argv);
    const {checks, origin} = documentOf<DoctorDocument>(stdout, 'doctor');
    assert.deepEqual([exit, origin], [7, {kind: 'directory', path: built.root}]);
    const stateOf = (id: string): string | undefined => checks.find((check) => check.id === id)?.state;
    for (const id of ['interrupt-remapping', 'assignable-direct-region', 'log-reserved-memory'])
      assert.equal(stateOf(id), 'fail', id);
    const undecided = checks.filter(({seen}) => seen.startsWith('a capture cannot say'));
    assert.ok(undecided.length >= 7);
    assert.ok(undecided.every(({state}) => state === 'unknown'));
  });

  for (const [what, argv, exit] of [
    ['a log that is not there', ['--log', '/no/such/log'], 3],
    ['a log that is a folder', ['--log', '/proc'], 2],
    ['a machine that is not there', ['--sysroot', '/no/such/machine'], 3],
    [
      'a capture of a kvfio that did not know what doctor reads',
      ['--sysroot', join(PROJECT, 'test/fixtures/lab-intel.json')],
      8,
    ],
  ] as const)
    it(`exits with ${exit} for ${what}`, async () => {
      const outcome = await run(Doctor, [...argv, '--json']);
      assert.deepEqual(
        [outcome.exit, documentOf<ErrorDocument>(outcome.stdout, 'error').error.exit],
        [exit, exit],
      );
    });

  it('needs no more than a user has', function () {
    this.timeout(120_000);
    needs(this, 'build', 'root');
    const {exit, stdout} = start(['doctor', '--json'], {uid: 65_534});
    const {checks} = documentOf<DoctorDocument>(stdout, 'doctor');
    assert.ok(exit === 0 || exit === 7);
    assert.ok(checks.length > 15);
  });
});
