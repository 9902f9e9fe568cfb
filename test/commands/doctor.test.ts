import assert from 'node:assert/strict';
import Doctor from '../../src/commands/doctor.js';
import {PURPOSES} from '../../src/doctor/check.js';
import type {DoctorDocument} from '../../src/doctor/doctor.js';
import {needs} from '../support/needs.js';
import {run, start} from '../support/run.js';
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
    for (const {title, seen, state, matters, needed} of checks) {
      const label = state === 'pass' ? 'pass' : state === 'unknown' ? '?' : needed ? 'FAIL' : 'note';
      assert.ok(stdout.includes(`${label.padEnd(6)}${title}: ${seen}\n`), title);
      assert.equal(
        stdout.includes(`${matters.charAt(0).toUpperCase()}${matters.slice(1)}.`),
        state !== 'pass',
      );
    }
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
