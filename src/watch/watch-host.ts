import {setImmediate as turn} from 'node:timers/promises';
import {changesOf, type FactValues} from '../diff/change.js';
import {readCompared} from '../diff/machine.js';
import type {Warning} from '../host/attributes.js';
import {DirectoryTree} from '../host/directory-tree.js';
import {diffVms, identity} from '../kvm-vfio/diff-vms.js';
import {listVms, type ListedVm} from '../kvm-vfio/vms.js';
import {Deadline} from '../linux/deadline.js';
import {AT_ONCE, UeventSocket} from '../linux/socket/uevent-socket.js';
import {applyUevent} from './apply-uevent.js';
import {EndedProcesses} from './ended-processes.js';
import {removeDevice, stateOf, type MachineState} from './machine-state.js';
import {stateEvents} from './state-events.js';
import {
  deviceEvent,
  groupEvent,
  hostEvent,
  vmEvent,
  watchChanges,
  type WatchEvent,
  type WatchKind,
} from './watch-line.js';

export interface WatchOptions {
  /** Ends it. */
  signal: AbortSignal;
  /** Milliseconds from one look at the VMs to the next: the kernel does not report which VFIO files they have. */
  interval: number;
  /** Bytes for messages of the kernel that wait; absent, enough for a large burst. */
  room?: number;
  /** What to report. */
  kinds: ReadonlySet<WatchKind>;
  /** Gets what is reported, in its order. */
  onEvents: (events: readonly WatchEvent[]) => void;
  /** Gets what could not be read at the beginning. */
  onWarnings: (warnings: readonly Pick<Warning, 'message'>[]) => Promise<void>;
}

/**
 * Reports what is there, and then what becomes of the devices, groups and VMs of this host, as the kernel says that something has
 * happened, until `signal` is aborted.
 *
 * @throws SyscallError when the kernel's messages cannot be had
 */
export const watchHost = async (options: WatchOptions): Promise<void> => {
  const watch = new HostWatch(options);
  try {
    await watch.run();
  } catch (error) {
    if (!options.signal.aborted) throw error;
  }
};

/** What messages there were. */
interface Heard {
  /** The last action of each folder in /sys. */
  actions: ReadonlyMap<string, string>;
  /** Whether the kernel dropped some. */
  lost: boolean;
  /** Whether anything is to be read again for them. */
  matters: boolean;
}

class HostWatch {
  readonly #options: WatchOptions;
  #state: MachineState = {devices: new Map(), groups: new Map()};
  #vms: readonly ListedVm[] = [];
  /** What is to be read again. */
  readonly #stale = new Set<'host' | 'vms'>();
  /** Ends the present wait. */
  #wake = new AbortController();

  constructor(options: WatchOptions) {
    this.#options = options;
    options.signal.addEventListener('abort', () => {
      this.#wake.abort();
    });
  }

  async run(): Promise<void> {
    const {signal} = this.#options;
    // before anything is read, so that nothing is missed in between
    using socket = UeventSocket.open(this.#options.room);
    using ended = new EndedProcesses(() => {
      this.#stale.add('vms');
      this.#wake.abort();
    });
    await this.#begin(ended);
    let look = Deadline.after(this.#options.interval);
    let [quiet, latest] = [Deadline.never, Deadline.never];
    for (;;) {
      const isHeard = this.#hear(socket).matters;
      if (this.#stale.size > 0) {
        if (isHeard || latest === Deadline.never) quiet = Deadline.after(QUIET);
        if (latest === Deadline.never) latest = Deadline.after(LONGEST);
      }
      signal.throwIfAborted();
      if (quiet.passed || latest.passed) {
        await this.#readStale(socket, ended);
        [quiet, latest] = [Deadline.never, Deadline.never];
      } else if (isHeard) await turn();
      else await this.#wait(socket, quiet.or(latest).or(look));
      if (look.passed) {
        if (this.#follows('vm')) this.#stale.add('vms');
        look = Deadline.after(this.#options.interval);
      }
    }
  }

  /** Reports what is there. */
  async #begin(ended: EndedProcesses): Promise<void> {
    const machine = readCompared(new DirectoryTree(), {serials: false, names: true});
    this.#state = stateOf(machine);
    const vms = this.#follows('vm') ? await listVms() : {vms: [], warnings: []};
    this.#vms = vms.vms;
    ended.follow(this.#vms.map(({pid}) => pid));
    await this.#options.onWarnings([...machine.warnings, ...vms.warnings]);
    this.#report([
      ...[...this.#state.devices.values()].map((device) => deviceEvent('present', device)),
      ...[...this.#state.groups.values()].map((group) => groupEvent('present', group)),
      ...this.#vms.map((vm) => vmEvent('present', vm)),
      hostEvent('ready'),
    ]);
  }

  /** Takes what messages there are into account, and returns what they are about. */
  #hear(socket: UeventSocket): Heard {
    const {uevents, lost} = socket.receive();
    if (lost) {
      // the kernel says so before it gives what it has kept
      this.#report([hostEvent('lost')]);
      this.#stale.add('host').add('vms');
    }
    let matters = lost;
    for (const uevent of uevents) {
      const {events, stale} = applyUevent(this.#state, uevent);
      this.#report(events);
      if (stale === null) continue;
      this.#stale.add(stale);
      matters = true;
    }
    return {actions: new Map(uevents.map(({path, action}) => [`/sys${path}`, action])), lost, matters};
  }

  async #readStale(socket: UeventSocket, ended: EndedProcesses): Promise<void> {
    const stale = new Set(this.#stale);
    this.#stale.clear();
    if (stale.has('host')) {
      const now = stateOf(readCompared(new DirectoryTree(), {serials: false, names: true}));
      this.#keepHeard(now, socket);
      this.#report(stateEvents(this.#state, now));
      this.#state = now;
    }
    if (stale.has('vms') && this.#follows('vm')) {
      const {vms} = await listVms();
      const were = new Map(this.#vms.map((vm) => [identity(vm), vm]));
      this.#report(
        diffVms(this.#vms, vms, shownOf).map(({event, vm}) => {
          const was = were.get(identity(vm));
          return vmEvent(event, vm, was === undefined ? [] : watchChanges(changesOf(was, vm, VM_FACTS)));
        }),
      );
      this.#vms = vms;
      ended.follow(vms.map(({pid}) => pid));
    }
  }

  /**
   * Hears what came while the host was read. Which driver a device has, and that it is gone, messages say one after the other, and what
   * was read may be of any moment: so the messages count, unless some were lost.
   */
  #keepHeard(now: MachineState, socket: UeventSocket): void {
    for (let rest = MOST; rest > 0; rest -= AT_ONCE) {
      const {actions, lost} = this.#hear(socket);
      if (actions.size === 0 || lost) return;
      for (const [folder, action] of actions) {
        const [known, read] = [this.#state.devices.get(folder), now.devices.get(folder)];
        if (known !== undefined && read !== undefined) read.driver = known.driver;
        else if (known === undefined && action === 'remove') removeDevice(now, folder);
      }
    }
  }

  async #wait(socket: UeventSocket, deadline: Deadline): Promise<void> {
    this.#wake = new AbortController();
    const {signal} = this.#wake;
    try {
      await socket.wait(deadline, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #report(events: readonly WatchEvent[]): void {
    const wanted = events.filter(({kind}) => kind === 'host' || this.#follows(kind));
    if (wanted.length > 0) this.#options.onEvents(wanted);
  }

  #follows(kind: WatchKind): boolean {
    return this.#options.kinds.has(kind);
  }
}

/** What of a VM is reported when it changes. */
const VM_FACTS: FactValues<
  ListedVm,
  'name' | 'user' | 'seccomp' | 'vcpus' | 'holders' | 'device' | 'groups' | 'cdevs' | 'coherency'
> = {
  name: ({name}) => name,
  user: ({user, uid}) => user ?? (uid === null ? null : String(uid)),
  seccomp: ({seccomp}) => seccomp,
  vcpus: ({vcpus}) => (vcpus === null ? null : String(vcpus)),
  holders: ({holders}) => holders.join(' '),
  device: ({device: {all}}) => all.join(' '),
  groups: ({groups}) => groups.map(({group}) => group).join(' '),
  cdevs: ({cdevs}) => cdevs.map(({name}) => name).join(' '),
  coherency: ({coherency: {state}}) => state,
};

const shownOf = (vm: ListedVm): string => JSON.stringify(Object.values(VM_FACTS).map((of) => of(vm)));

/** Milliseconds of silence after which verdicts are read: messages come in groups. */
const QUIET = 50;

/** Milliseconds after which they are read although the kernel goes on. */
const LONGEST = 1000;

/** Messages that are taken after a reading; those of a burst that goes on are taken later. */
const MOST = 100_000;
