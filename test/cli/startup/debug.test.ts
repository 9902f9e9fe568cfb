import assert from 'node:assert/strict';
import {needs} from '../../support/needs.js';
import {PROJECT, start} from '../../support/run.js';

const FIXTURE = ['groups', '--group', '1', '--sysroot', 'test/fixtures/lab-intel.json'];

describe('--debug', function () {
  this.timeout(60_000);
  before(function () {
    needs(this, 'build');
  });

  it('tells of each file with times, and leaves the answer as it is', () => {
    const plain = start(FIXTURE, {cwd: PROJECT});
    assert.equal(plain.stderr, '');
    for (const [argv, env] of [
      [[...FIXTURE, '--debug'], {}],
      [FIXTURE, {KVFIO_DEBUG: '1'}],
    ] as const) {
      const {exit, stdout, stderr} = start(argv, {cwd: PROJECT, env});
      assert.deepEqual([exit, stdout], [0, plain.stdout]);
      assert.match(
        stderr,
        /^kvfio: debug: \d+\.\d{3} ms readFile test\/fixtures\/lab-intel\.json = \d+ bytes \(\d+ µs\)$/m,
      );
      for (const line of stderr.trimEnd().split('\n')) assert.match(line, /^kvfio: debug: \d+\.\d{3} ms /);
    }
    assert.equal(start(FIXTURE, {cwd: PROJECT, env: {KVFIO_DEBUG: '0'}}).stderr, '');
  });

  it('tells of attributes with what they hold, and of what is refused', () => {
    const {stderr} = start(['groups', '--debug', '--sysroot', '/']);
    assert.match(stderr, /ms open \/sys\/\S+ = ENOENT/);
  });

  it('names the requests that are made of KVM', function () {
    needs(this, 'kvm');
    const {stderr} = start(['doctor', '--for', 'attach', '--debug']);
    assert.match(stderr, /ms ioctl\(\d+, KVM_GET_API_VERSION, 0\) = 12 \(\d+ µs\)/);
  });

  it('belongs to the command of a guest behind --', () => {
    assert.doesNotMatch(
      start(['lab', '--iommu', 'none', '--kernel', '/dev/null', '--', '--debug']).stderr,
      /debug:/,
    );
  });
});
