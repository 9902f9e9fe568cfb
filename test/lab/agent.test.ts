import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {guestProgram} from '../support/guest-program.js';
import {lab} from '../support/lab.js';
import {compile, scratch} from '../vm/vmm.js';
import {AGENT_ANSWERS} from './agent-answers.js';

describe('agents with a real VFIO group (lab)', function () {
  this.timeout(900_000);

  it('keep a registered group when the client leaves, and give it back when it is deleted', async function () {
    using folder = scratch();
    compile('example-vmm.c', folder.path('example-vmm'));
    const program = guestProgram(folder.path('.'), 'lab/agent-in-lab.ts');
    const client = (name: string): string =>
      `node "$KVFIO_LAB_OUT/${program}" /tmp/${name}.sock "$KVFIO_LAB_OUT/${name}.json"`;
    const ready = (name: string): string => `until [ -S /tmp/${name}.sock ]; do sleep 0.2; done`;
    const {exitCode, stderr} = await lab(this, {
      kernel: '6.1',
      iommu: 'intel',
      out: folder.path('.'),
      task: {
        script: `set -e
        "$KVFIO_LAB_OUT/example-vmm" /tmp/c.sock & ${ready('c')}
        ${client('c')}
        kvfio vm --sock /tmp/kvfio.sock & ${ready('kvfio')}
        ${client('kvfio')}`,
      },
    });
    assert.equal(exitCode, 0, stderr.toString());
    for (const name of ['c', 'kvfio']) {
      const seen: unknown = JSON.parse(readFileSync(folder.path(`${name}.json`), 'utf8'));
      assert.deepEqual(seen, AGENT_ANSWERS, name);
    }
  });
});
