// Runs kvfio status with VMs of which only the kernel's answers are made up: node --import tsx status-looks.ts prints JSON of what it prints.
import {fileURLToPath} from 'node:url';
import {constants} from 'node:os';
import Status from '../../src/commands/status.js';
import {openTree} from '../../src/host/open-tree.js';
import {readHost} from '../../src/iommu/host.js';
import {fingerprint} from '../../src/kvm-vfio/coherency-record.js';
import {statusFrom} from '../../src/kvm-vfio/status.js';
import type {HeldFile, VmState} from '../../src/kvm-vfio/vm-state.js';
import {SyscallError} from '../../src/linux/errno.js';
import type {Owner} from '../../src/owner/owner.js';
import {run, type Outcome} from '../support/run.js';

/** What is as it is not in most VMs. */
interface Look {
  /** The VM has group 12. */
  holds?: boolean;
  /** VFIO's answer when kvfio last had KVM look at the group. */
  recorded?: 'enforced';
  /** The owner has two VMs, and --device-fd names the device of this one. */
  several?: boolean;
  /** The owner has two VMs, and nothing names the device of this one. */
  ambiguous?: boolean;
  /** What KVM answers when the group is added again. */
  answer?: Errno;
}

type Errno = keyof typeof constants.errno;

const host = readHost(openTree(fileURLToPath(new URL('../fixtures/lab-intel.json', import.meta.url))));

const groupHeld = ({recorded}: Look): HeldFile => {
  const group = host.groups.find(({devices}) => devices.some(({boundToVfio}) => boundToVfio));
  if (group === undefined) throw new Error('the capture has no group that VFIO has');
  const {id, devices, snoopControl} = group;
  const {verdict, confidence} = snoopControl.allMembers;
  const addresses = devices.map(({address}) => address);
  return {
    ...{name: `group ${id}`, node: {kind: 'group', group: id, path: `/dev/vfio/${id}`, device: 0}, fd: 30},
    ...{given: recorded !== undefined, registered: null, gone: false, group, container: 'unknown'},
    ...{verdict, confidence},
    record:
      recorded === undefined
        ? null
        : {verdict: recorded, members: addresses.length, fingerprint: fingerprint(addresses)},
  };
};

const stateOf = (look: Look): VmState => ({
  ...{
    devices: look.ambiguous === true ? [29, 31] : [29],
    device: 29,
    ambiguous: look.ambiguous === true,
    several: look.several === true,
  },
  ...{host, held: look.holds === true ? [groupHeld(look)] : [], nodes: [], cpu: 'intel'},
  examined: undefined as unknown as VmState['examined'],
});

const ownerAnswering = (code: Errno): Owner => {
  const refuse = (): never => {
    throw new SyscallError('ioctl(KVM_SET_DEVICE_ATTR)', constants.errno[code]);
  };
  return {
    ...{pid: 4711, way: 'inject', createDevice: refuse, setDeviceAttr: refuse, giveDescriptor: refuse},
    ...{closeDescriptor: refuse, takeDescriptor: refuse, together: (work) => work()},
    [Symbol.dispose]: () => undefined,
  };
};

/** `kvfio status` for a VM that is as `look` says. */
const statusOf = (look: Look) =>
  class extends Status {
    protected override readonly readStatus: Status['readStatus'] = (_place, options) =>
      Promise.resolve(
        statusFrom(
          {
            ...{pid: 4711, comm: 'qemu-system-x86', vmFd: 13, socket: null, way: 'inject'},
            open: () => ownerAnswering(look.answer ?? 'EEXIST'),
          },
          stateOf(look),
          options,
        ),
      );
  };

const LOOKS: [flags: string, look: Look][] = [
  // the state that is expected
  ['--verify --expect coherent', {}],
  // the other state
  ['--verify --expect coherent', {holds: true}],
  // an unknown state: nobody has looked, or the look does not decide it
  ['--expect coherent', {holds: true}],
  ['--verify --expect coherent', {holds: true, recorded: 'enforced'}],
  // a look that kvfio or the kernel refuses
  ['--verify --expect coherent', {holds: true, ambiguous: true}],
  ['--verify --device-fd 29 --expect coherent', {holds: true, several: true}],
  ['--verify --expect coherent', {holds: true, answer: 'ENOMEM'}],
];

const outcomes: {words: string[]; outcome: Outcome}[] = [];
for (const json of [[], ['--json']])
  for (const [flags, look] of LOOKS) {
    const words = ['--pid', '4711', ...flags.split(' '), ...json];
    outcomes.push({words: ['status', ...words], outcome: await run(statusOf(look), words)});
  }
process.stdout.write(JSON.stringify(outcomes));
