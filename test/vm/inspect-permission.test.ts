import assert from 'node:assert/strict';
import {mayInspectAll, howToInspect} from '../../src/vm/inspect-permission.js';

describe('who may not see another process', () => {
  it('is told what helps: root, a host in place of a container, or the right namespace', () => {
    assert.match(howToInspect(false, 1000), /as root, or with CAP_SYS_PTRACE/);
    assert.match(howToInspect(false, 0), /outside of this container/);
    assert.match(howToInspect(true, 0), /another user namespace, or a security module/);
    assert.match(howToInspect(true, 1000), /another user namespace, or a security module/);
  });

  it('is one whose capabilities lack that of tracing', () => {
    assert.equal(mayInspectAll({capEff: 1n << 19n}), true);
    assert.equal(mayInspectAll({capEff: (1n << 19n) - 1n}), false);
    assert.equal(mayInspectAll({capEff: null}), false);
  });
});
