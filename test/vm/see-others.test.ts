import assert from 'node:assert/strict';
import {maySeeAll, toSeeOthers} from '../../src/vm/see-others.js';

describe('who may not see another process', () => {
  it('is told what helps: root, a host in place of a container, or the right namespace', () => {
    assert.match(toSeeOthers(false, 1000), /as root, or with CAP_SYS_PTRACE/);
    assert.match(toSeeOthers(false, 0), /outside of this container/);
    assert.match(toSeeOthers(true, 0), /another user namespace, or a security module/);
    assert.match(toSeeOthers(true, 1000), /another user namespace, or a security module/);
  });

  it('is one whose capabilities lack that of tracing', () => {
    assert.equal(maySeeAll({capEff: 1n << 19n}), true);
    assert.equal(maySeeAll({capEff: (1n << 19n) - 1n}), false);
    assert.equal(maySeeAll({capEff: null}), false);
  });
});
