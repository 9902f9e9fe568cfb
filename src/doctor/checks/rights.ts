import type {HostCheck} from '../check.js';
import {fail, ofLive, pass, unknown} from '../check.js';
import {hasCapability, machineNames, machineText} from '../machine.js';

/** What the user may: lock memory, trace others, read tracing. */
export const RIGHTS_CHECKS: readonly HostCheck[] = [
  {
    id: 'memlock',
    title: 'you may lock the memory of a VM',
    otherwise: 'you may not lock the memory of a VM',
    matters: 'VFIO pins all memory of a VM that has a device, and counts it as locked by the user',
    neededFor: ['passthrough'],
    look: ofLive((_machine, {user}) => {
      const {memlock} = user;
      if (hasCapability(user, 'CAP_IPC_LOCK')) return pass('you have CAP_IPC_LOCK, so that no limit holds');
      if (memlock === null) return unknown('/proc/self/limits cannot be read');
      if (memlock === Infinity) return pass('there is no limit (RLIMIT_MEMLOCK)');
      const seen = `the limit is ${Math.floor(memlock / MIB)} MiB (RLIMIT_MEMLOCK)`;
      return memlock >= LEAST ? pass(seen) : fail(seen, REMEDY);
    }),
  },
  {
    id: 'ptrace',
    title: 'you may trace VMMs',
    otherwise: 'you may not trace VMMs',
    matters: 'kvfio has a VMM without an agent act by tracing one of its threads for less than a millisecond',
    neededFor: [],
    look: ofLive((machine, {user}) => {
      const scope = machineText(machine, '/proc/sys/kernel/yama/ptrace_scope')?.trim() ?? null;
      const seen = scope === null ? 'there is no Yama' : `kernel.yama.ptrace_scope is ${scope}`;
      if (scope === '3')
        return fail(seen, 'boot with another ptrace_scope, or use VMMs that speak the agent protocol');
      if (hasCapability(user, 'CAP_SYS_PTRACE')) return pass(`you have CAP_SYS_PTRACE, and ${seen}`);
      return scope === null || scope === '0'
        ? pass(`${seen}, so you may trace your own VMMs`)
        : fail(
            `${seen}, and you lack CAP_SYS_PTRACE`,
            'run kvfio as root, or set kernel.yama.ptrace_scope to 0',
          );
    }),
  },
  {
    id: 'tracefs',
    title: 'you may read the trace events of KVM',
    otherwise: 'you may not read the trace events of KVM',
    matters: '"kvfio probe --against" counts the WBINVD exits of a VM with them',
    neededFor: [],
    look: ofLive((machine, {user}) => {
      if (machineText(machine, '/proc/filesystems')?.includes('tracefs') === false)
        return fail('this kernel has no tracefs', machine.distribution.otherKernel('CONFIG_FTRACE'));
      const places = ['/sys/kernel/tracing', '/sys/kernel/debug/tracing'];
      const found = places.find((place) =>
        (machineNames(machine, `${place}/events/kvm`) ?? []).includes('kvm_exit'),
      );
      if (found !== undefined) return pass(`${found}/events/kvm/kvm_exit is there`);
      if (places.some((place) => machineNames(machine, `${place}/events`) !== null))
        return fail('tracefs has no events of KVM', 'load KVM, or use a kernel with CONFIG_FTRACE');
      if (user.uid === 0)
        return fail('tracefs is not mounted', 'run "mount -t tracefs tracefs /sys/kernel/tracing" as root');
      return fail('you may not read /sys/kernel/tracing', 'run kvfio as root');
    }),
  },
];

const MIB = 1024 * 1024;

/** Less than any guest with a device of its own has. */
const LEAST = 128 * MIB;

const REMEDY =
  'raise memlock for your name in /etc/security/limits.d, or LimitMEMLOCK= of the service that starts VMs';
