import assert from 'node:assert/strict';
import {Attributes} from '../../src/host/attributes.js';
import {PciIds, readPciIds} from '../../src/pci/ids.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {machine, pci, PCI_IDS} from '../support/machine.js';
import {read} from '../support/read.js';

const idsOf = (text: string): PciIds => new PciIds(Buffer.from(text));
const ids = idsOf(PCI_IDS);

describe('names from pci.ids', () => {
  it('has vendors, devices and classes', () => {
    assert.equal(ids.vendor('8086'), 'Intel Corporation');
    assert.equal(ids.device('10de', '1b80'), 'GP104 [GeForce GTX 1080]');
    assert.equal(ids.className('010802'), 'Non-Volatile memory controller');
  });

  it('has the base class where the subclass has no name', () => {
    assert.equal(ids.className('027700'), 'Network controller');
  });

  it('is null for what is not in the file', () => {
    assert.equal(ids.vendor('1234'), null);
    assert.equal(ids.device('1234', '0001'), null);
    assert.equal(ids.device('8086', '0001'), null);
    assert.equal(ids.className('ff0000'), null);
  });

  it('does not take a subsystem for a device, or a device of one vendor for one of another', () => {
    assert.equal(ids.device('10de', '1043'), null);
    assert.equal(ids.device('8086', '1b80'), null);
    assert.equal(ids.device('10de', '10d3'), null);
  });

  it('does not take a programming interface for a subclass', () => {
    assert.equal(ids.className('010200'), 'Mass storage controller');
  });

  it('finds the first vendor and the last class of a file without a line end', () => {
    const tiny = idsOf('0001  First\n\t0002  Its device\nC ff  Last\n\t00  Its class');
    assert.equal(tiny.vendor('0001'), 'First');
    assert.equal(tiny.device('0001', '0002'), 'Its device');
    assert.equal(tiny.className('ff0000'), 'Its class');
  });

  it('reads past comments inside a block', () => {
    assert.equal(
      idsOf('0001  First\n# a comment\n\n\t0002  Its device\n').device('0001', '0002'),
      'Its device',
    );
  });

  it('has names in other letters than those of ASCII', () => {
    const foreign = idsOf('0001  Müller & Søn\n\t0002  µ-Gerät™\n');
    assert.equal(foreign.vendor('0001'), 'Müller & Søn');
    assert.equal(foreign.device('0001', '0002'), 'µ-Gerät™');
  });

  it('makes an excerpt that gives the same answers for what it was made for', () => {
    const asked = [
      {vendorId: '10de', deviceId: '10f0'},
      {vendorId: '8086', deviceId: '10d3'},
      {vendorId: '8086', deviceId: 'ffff'},
      {vendorId: 'abcd', deviceId: '0001'},
    ];
    const classes = ['020000', '027700', '040300', 'ff0000'];
    const excerpt = idsOf(ids.excerpt(asked, classes));
    for (const {vendorId, deviceId} of asked) {
      assert.equal(excerpt.vendor(vendorId), ids.vendor(vendorId));
      assert.equal(excerpt.device(vendorId, deviceId), ids.device(vendorId, deviceId));
    }
    for (const code of classes) assert.equal(excerpt.className(code), ids.className(code));
    assert.equal(excerpt.device('10de', '1b80'), null);
  });

  it('are found in a file however large', () => {
    const pciIds = `${'# a comment\n'.repeat(400_000)}8086  Intel\n\t10d3  A card\nC 00  None\nC 02  A class\n`;
    assert.ok(pciIds.length > 4 * 1024 * 1024);
    const [device] = read({ungrouped: [pci('0000:01:00.0')], pciIds}).ungrouped;
    assert.deepEqual([device?.vendor, device?.device, device?.class], ['Intel', 'A card', 'A class']);
  });

  it('are those of the next place where the first has a file that is too large', () => {
    using built = machine({pciIds: '8086  First\n'.padEnd(16 * 1024 * 1024 + 1, '#')});
    built.write('usr/share/hwdata/pci.ids', '8086  Next\n');
    const {ids: found, path} = readPciIds(new Attributes(new DirectoryTree(built.root)));
    assert.deepEqual([path, found.vendor('8086')], ['/usr/share/hwdata/pci.ids', 'Next']);
    built.write('usr/share/misc/pci.ids', '8086  First\n'.padEnd(16 * 1024 * 1024, '#'));
    assert.equal(readPciIds(new Attributes(new DirectoryTree(built.root))).ids.vendor('8086'), 'First');
  });

  it('leaves numbers where the machine has no pci.ids', () => {
    const [device] = read({ungrouped: [pci('0000:01:00.0')], pciIds: null}).ungrouped;
    assert.deepEqual([device?.vendor, device?.device, device?.class], [null, null, null]);
    assert.deepEqual([device?.vendorId, device?.deviceId, device?.classCode], ['8086', '10d3', '020000']);
  });
});
