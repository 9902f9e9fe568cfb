import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import type {CdiSpec} from '../../src/export/cdi.js';
import {guestProgram} from '../support/guest-program.js';
import {KVFIO, lab} from '../support/lab.js';
import {needs} from '../support/needs.js';
import {documentOf} from '../support/schema.js';
import {scratch} from '../vm/vmm.js';
import type {PodmanTranscript} from './podman-in-lab.js';

describe('a container of podman that gets groups by their names (lab)', function () {
  this.timeout(600_000);
  let seen: PodmanTranscript;
  before(async function () {
    needs(this, 'lab', 'podman', 'busybox', 'unshare');
    using folder = scratch();
    const program = guestProgram(folder.path('.'), 'lab/podman-in-lab.ts');
    const {exitCode, stderr} = await lab(this, {
      kernel: '6.1',
      out: folder.path('.'),
      task: {script: `cd "$KVFIO_LAB_OUT" && exec node ${program} ${KVFIO.join(' ')} seen.json`},
    });
    assert.equal(exitCode, 0, stderr.toString());
    seen = JSON.parse(readFileSync(folder.path('seen.json'), 'utf8')) as PodmanTranscript;
  });

  it('opens the nodes of its groups, which the kernel has made, and sees no other', () => {
    const {exit, stdout, stderr} = seen.both;
    assert.equal(exit, 0, stderr);
    const lines = stdout.trim().split('\n');
    assert.deepEqual(lines.filter((line) => !line.includes('=')).sort(), ['12', '9', 'vfio']);
    for (const line of [
      'KVFIO_CDI_NODES=groups',
      'KVFIO_GROUP_9=0000:01:00.0',
      'KVFIO_GROUP_12=0000:07:00.0',
    ])
      assert.ok(lines.includes(line), stdout);
  });

  it('has the kernel refuse a second open of its group', () => {
    assert.notEqual(seen.held.exit, 0);
    assert.match(seen.held.stderr, /\/dev\/vfio\/12: (?:Device or resource busy|Resource busy)/);
  });

  it('cannot have a group that is not bound to VFIO', () => {
    const {devices} = documentOf<CdiSpec>(seen.spec, 'export-cdi');
    assert.deepEqual(
      devices.map(({name}) => name),
      ['group9', 'group12'],
    );
    assert.notEqual(seen.unbound.exit, 0);
    assert.match(seen.unbound.stderr, /kvfio\/vfio=group1/);
  });
});
