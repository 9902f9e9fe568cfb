import assert from 'node:assert/strict';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {Failure} from '../../src/failure.js';
import {chooseAccelerator} from '../../src/lab/accelerator.js';

describe('chooseAccelerator', () => {
  let root: string;
  const put = (path: string, text: string): void => {
    mkdirSync(join(root, path, '..'), {recursive: true});
    writeFileSync(join(root, path), text);
  };

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'kvfio-test-'));
  });

  afterEach(() => {
    rmSync(root, {recursive: true});
  });

  for (const [nested, module] of [
    ['Y', 'kvm_intel'],
    ['1', 'kvm_amd'],
  ] as const) {
    it(`takes KVM where ${module} says ${nested} to nesting`, () => {
      put('dev/kvm', '');
      put(`sys/module/${module}/parameters/nested`, `${nested}\n`);
      assert.equal(chooseAccelerator('auto', root), 'kvm');
    });
  }

  it('emulates where KVM does not nest', () => {
    put('dev/kvm', '');
    put('sys/module/kvm_intel/parameters/nested', 'N\n');
    assert.equal(chooseAccelerator('auto', root), 'tcg');
  });

  it('emulates where nesting is allowed but there is no /dev/kvm', () => {
    put('sys/module/kvm_amd/parameters/nested', '1\n');
    assert.equal(chooseAccelerator('auto', root), 'tcg');
  });

  it('takes KVM without nesting when told to', () => {
    put('dev/kvm', '');
    assert.equal(chooseAccelerator('kvm', root), 'kvm');
  });

  it('does not send anybody to a group where there is no KVM to open', () => {
    assert.throws(
      () => chooseAccelerator('kvm', root),
      (error) => error instanceof Failure && error.exitCode === 8 && !/group/.test(error.hint),
    );
  });
});
