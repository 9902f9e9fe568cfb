// Does something with an owner in a process of its own, which can be killed or be somebody else.
//   node inject-program.js '{"pid":…,"vmFd":…,"work":"create"}'
// Prints a line of JSON: {"requests": [...], "result": …} or {"requests": [...], "failure": {...}}.
import {Descriptor} from '../../../dist/linux/descriptor.js';
import {O_RDWR, open} from '../../../dist/linux/libc.js';
import {InjectedOwner} from '../../../dist/owner/inject/injected-owner.js';

const {pid, vmFd, work, device, fd, dieAfter, killOwnerAfter, before, suspendSeccomp} = JSON.parse(
  process.argv[2],
);
const FILE = 1;
const ADD = 1;
const DEL = 2;

let requests = [];
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const expecting = (code, call) => {
  try {
    call();
  } catch (error) {
    if (error.code !== code) throw error;
  }
};

const nothing = new Descriptor(open('/dev/null', O_RDWR), '/dev/null');

/** What is done while the owner is stopped once. */
const WORK = {
  nothing: () => undefined,
  create: (owner) => owner.createDevice(vmFd, 4),
  'give and add': (owner) => {
    const given = owner.giveDescriptor(nothing);
    expecting('EINVAL', () => owner.setDeviceAttr(device, FILE, ADD, given));
    return given;
  },
  'create and add': (owner) => {
    const created = owner.createDevice(vmFd, 4);
    expecting('EINVAL', () => owner.setDeviceAttr(created, FILE, ADD, vmFd));
    return created;
  },
  'create, give and add': (owner) => {
    const created = owner.createDevice(vmFd, 4);
    const given = owner.giveDescriptor(nothing);
    expecting('EINVAL', () => owner.setDeviceAttr(created, FILE, ADD, given));
    return created;
  },
  close: (owner) => owner.closeDescriptor(fd),
  'delete and close': (owner) => {
    expecting('ENOENT', () => owner.setDeviceAttr(device, FILE, DEL, fd));
    owner.closeDescriptor(fd);
    owner.closeDescriptor(device);
  },
  round: (owner) => {
    const created = owner.createDevice(vmFd, 4);
    const given = owner.giveDescriptor(nothing);
    expecting('EINVAL', () => owner.setDeviceAttr(created, FILE, ADD, given));
    owner.closeDescriptor(given);
    owner.closeDescriptor(created);
  },
  'create after its death': (owner) => {
    process.kill(pid, 'SIGKILL');
    return owner.createDevice(vmFd, 4);
  },
  hold: () => {
    say({holding: true});
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000);
  },
};

/** As apply() does with its plan: what runs for the first time is compiled first, and the owner is not to wait for that. */
const rehearse = (task) => {
  if (task.length === 0 || work === 'create after its death') return;
  for (const code of ['EINVAL', 'ENOENT']) {
    try {
      task({
        createDevice: () => 0,
        giveDescriptor: () => 0,
        closeDescriptor: () => undefined,
        setDeviceAttr: () => {
          throw Object.assign(new Error(code), {code});
        },
      });
    } catch {
      // the work expects the other
    }
  }
};

try {
  const owner = InjectedOwner.open(pid, {
    patience: 5000,
    suspendSeccomp,
    observe: (request) => {
      requests.push(request);
      if (requests.length === dieAfter) process.kill(process.pid, 'SIGKILL');
      if (requests.length === killOwnerAfter) process.kill(pid, 'SIGKILL');
    },
  });
  for (let time = 0; time < (before ?? 0); time += 1) {
    const counted = requests;
    requests = Array.from({length: 1_000_000}); // not counted
    owner.together(() => undefined);
    requests = counted;
  }
  if (work === 'for ever') {
    say({begun: true});
    for (;;) owner.together(() => WORK.round(owner));
  }
  rehearse(WORK[work]);
  const result = owner.together(() => WORK[work](owner));
  say({requests, result});
} catch (error) {
  const {name, code, kind, what, why, hint, message} = error;
  say({requests, failure: {name, code, kind, what, why, hint, message}});
}
