import assert from 'node:assert/strict';
import type {Need} from './needs.js';
import {planOf, type Conditions} from './place.js';

const host = (lacks: Need[], options: Partial<Conditions> = {}): Conditions => ({
  ...{short: false, inLab: false, ...options},
  whyMissing: (need) => (lacks.includes(need) ? `there is no ${need}` : undefined),
});

describe('where a trial or a benchmark runs', () => {
  it('is this host where it has all that is needed', () => {
    assert.deepEqual(planOf(['kvm', 'cc'], host([])), {place: 'host', size: 'large'});
    assert.deepEqual(planOf(['kvm'], host([], {short: true})), {place: 'host', size: 'medium'});
  });

  it('is the lab for what needs KVM where there is none, and it does less there', () => {
    assert.deepEqual(planOf(['kvm', 'cc'], host(['kvm'])), {place: 'lab', size: 'medium'});
    assert.deepEqual(planOf(['kvm'], host(['kvm'], {short: true})), {place: 'lab', size: 'small'});
  });

  it('is the lab for what needs KVM when that is asked for', () => {
    assert.deepEqual(planOf(['kvm'], host([], {inLab: true})), {place: 'lab', size: 'medium'});
  });

  it('is this host for what needs no KVM', () => {
    assert.deepEqual(planOf(['cc'], host(['kvm'], {inLab: true})), {place: 'host', size: 'large'});
    assert.deepEqual(planOf([], host(['kvm', 'cc'])), {place: 'host', size: 'large'});
  });

  it('is nowhere without a program of this host, which the lab does not have either', () => {
    assert.deepEqual(planOf(['kvm', 'strace'], host(['kvm', 'strace'])), {missing: 'there is no strace'});
  });
});
