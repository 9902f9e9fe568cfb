import assert from 'node:assert/strict';
import {statSync} from 'node:fs';
import type {Target} from '../../src/kvm-vfio/change-report.js';
import type {FileOutcome, Outcome} from '../../src/kvm-vfio/apply.js';
import type {HeldFile, VmState} from '../../src/kvm-vfio/vm-state.js';
import {recordCoherency} from '../../src/kvm-vfio/record-coherency.js';
import {Descriptor} from '../../src/linux/descriptor.js';
import {O_RDWR, open} from '../../src/linux/libc.js';
import {Pidfd} from '../../src/linux/proc/pidfd.js';
import {writeCoherencyRecord, readCoherencyRecord} from '../../src/kvm-vfio/coherency-record.js';
import {KVFIO_MARK} from '../../src/vfio/kvfio-mark.js';
import type {Owner} from '../../src/owner/owner.js';

const PATH = '/dev/full';
const device = statSync(PATH).rdev;

const owner = {
  takeDescriptor: (fd: number): Descriptor => {
    using self = Pidfd.open(process.pid);
    return self.getfd(fd);
  },
} as unknown as Owner;

const opened = (mark: number): Descriptor => new Descriptor(open(PATH, O_RDWR | mark));

/** What is noted of group 12, with `enforced` before, when another file got this answer and 12 is not enforced now. */
const notedAfter = (outcome: FileOutcome, release: string, mark = KVFIO_MARK): string | undefined => {
  using file = opened(mark);
  writeCoherencyRecord(file, 'enforced', []);
  const held = {
    name: 'group 12',
    node: {kind: 'group', group: 12, path: PATH, device},
    fd: file.fd,
    given: true,
    record: readCoherencyRecord(process.pid, file.fd),
    verdict: 'not-enforced',
    group: {id: 12, devices: []},
  } as unknown as HeldFile;
  const facts = {held: [held], host: {kernel: {release}, groups: [held.group]}} as unknown as VmState;
  const answers: Outcome['files'] = new Map([['group 13', {fd: null, outcome}]]);
  const other = {...held, name: 'group 13', fd: null} as unknown as Target;
  recordCoherency(owner, {files: answers} as Outcome, {facts, targets: [other]});
  return readCoherencyRecord(process.pid, file.fd)?.verdict;
};

describe('notes after a change', () => {
  it('are renewed where KVM looked, kept where it did not, and doubted where that is not known', () => {
    assert.equal(notedAfter('added', '7.3.0'), 'not-enforced');
    assert.equal(notedAfter('deleted', '7.3.0'), 'not-enforced');
    assert.equal(notedAfter('already', '6.1.0'), 'enforced');
    assert.equal(notedAfter('absent', '6.12.0'), 'not-enforced');
    assert.equal(notedAfter('absent', '6.19.0'), 'unknown');
    assert.equal(notedAfter('absent', '7.3.0'), 'enforced');
  });

  it('are only made on what is still a file of that node from kvfio', () => {
    assert.equal(notedAfter('added', '7.3.0', 0), 'enforced', 'as it was');
  });
});
