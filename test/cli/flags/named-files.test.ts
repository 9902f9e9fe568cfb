import assert from 'node:assert/strict';
import {namedFiles} from '../../../src/cli/flags/vm-flags.js';
import {Failure} from '../../../src/failure.js';
import {DirectoryTree} from '../../../src/host/directory-tree.js';
import {PciFunctions} from '../../../src/pci/selector/functions.js';
import {skip} from '../../support/skip.js';

const named = (cdev: string[]): {files: unknown; selected: unknown; notes: string[]} => {
  const notes: string[] = [];
  const {files, selected} = namedFiles({cdev}, {note: (line) => notes.push(line)});
  return {files, selected, notes};
};

describe('the files of VFIO that flags name', () => {
  it('are devices by other names than their addresses, each of which is said', function () {
    const functions = new PciFunctions(new DirectoryTree());
    const [first] = functions.all;
    if (first === undefined) return skip(this, 'this host has no PCI devices');
    const {address} = first;
    const selector = `${functions.idsOf(first) ?? ''}#1`;
    assert.deepEqual(named([selector]), {
      files: [{kind: 'cdev', address}],
      selected: [{selector, by: 'ids', address}],
      notes: [`by its ids ${selector}, the device is ${address}.`],
    });
    assert.deepEqual(named([address]).notes, []);
  });

  it('may be a mediated device, there or gone, so that it can be detached', () => {
    const uuid = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
    assert.deepEqual(named([uuid]).files, [{kind: 'cdev', address: uuid}]);
  });

  it('are none for a name that no device has', () => {
    assert.throws(
      () => named(['no-such-device']),
      (error) => error instanceof Failure && error.code === 'DEVICE_NOT_FOUND',
    );
  });
});
