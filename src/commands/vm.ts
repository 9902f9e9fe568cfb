import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {printable} from '../printable.js';
import {Failure} from '../failure.js';
import {ENDING_SIGNALS} from '../linux/hold-signals.js';
import {defaultSocket} from '../vm/default-socket.js';
import {GUESTS, MinimalVm, type Guest} from '../vm/minimal-vm.js';
import {listenAt, serveVm} from '../vm/serve-vm.js';

/** What `kvfio vm --json` prints: one line when it is ready, and one when it is stopped. */
export interface VmDocument {
  schemaVersion: 1;
  /** Whether it can be connected to, or was stopped. */
  state: 'ready' | 'ended';
  /** Path, or abstract name as `@name`. */
  socket: string;
  /** Process that owns the VM. */
  pid: number;
  /** Number of the VM's descriptor in that process. */
  fd: number;
  /** Old name of `fd`. */
  vmFd: number;
  guest: Guest;
  /** Whether it speaks the agent protocol. */
  agent: boolean;
  /** How many connections it has accepted. */
  clients: number;
  /** How often the guest has executed WBINVD; null when that is not what it does. */
  wbinvds: number | null;
  /** How long it was there. */
  seconds: number;
}

export default class Vm extends BaseCommand {
  static override summary = 'Be a minimal VM that hands its descriptor to whoever connects, until stopped.';

  static override description = `Creates a VM in this process and listens at a socket, so that everything else can be tried on any machine with /dev/kvm. One line says when it is ready, and one what it was; so does --json, with a document on each. Ctrl-C or SIGTERM ends it, with exit code 0 and the socket removed.

Only root and the same user may connect. A socket that nobody listens at any more is replaced, one that is in use is not.

SIGUSR2 pauses the guest and resumes it. When it is paused, a line on stderr says how many WBINVDs it has executed, exactly; so an observer can compare what it has counted in between.

--no-agent makes it behave like a VMM that knows nothing of kvfio and only sends the descriptor.`;

  static override usage = 'vm [FLAGS]';

  static override examples = [
    {
      description: 'A VM at the usual socket, $XDG_RUNTIME_DIR/kvfio/vm.sock or /run/kvfio/vm.sock for root',
      command: '<%= config.bin %> vm',
    },
    {
      description: 'Count how often a guest can execute WBINVD in ten seconds',
      command: 'timeout --preserve-status -s INT 10 <%= config.bin %> vm --guest wbinvd --json',
    },
    {description: 'A VM without an agent', command: '<%= config.bin %> vm --sock /tmp/vm.sock --no-agent'},
  ];

  static override flags = {
    sock: Flags.string({
      helpValue: 'PATH|@NAME',
      description: 'where to listen: a path, or an abstract name after an @',
    }),
    guest: Flags.option({
      options: GUESTS,
      default: 'idle' as const,
      description: 'what the VM executes: nothing (it has no vCPU), or WBINVD without end on one vCPU',
    })(),
    paused: Flags.boolean({description: 'have the guest wait for the first SIGUSR2'}),
    agent: Flags.boolean({
      default: true,
      allowNo: true,
      description: 'answer the agent protocol on the socket',
    }),
  };

  async run(): Promise<null> {
    const {flags} = await this.parse(Vm);
    const began = performance.now();
    const ending = new AbortController();
    const stop = (): void => {
      ending.abort();
    };
    let running: MinimalVm | undefined;
    const toggle = (): void => {
      if (running !== undefined) void this.#togglePause(running);
    };
    for (const signal of ENDING_SIGNALS) process.on(signal, stop);
    process.on('SIGUSR2', toggle);
    try {
      using listener = listenAt(flags.sock ?? defaultSocket());
      // also when the line below cannot be written, which ends the process
      process.once('exit', () => {
        listener[Symbol.dispose]();
      });
      await using machine = MinimalVm.create(
        flags.guest,
        (failure) => {
          ending.abort(failure);
        },
        flags.paused,
      );
      running = machine;
      const {guest, agent} = flags;
      const {fd} = machine.vm;
      const about = {socket: listener.address, pid: process.pid, fd, vmFd: fd, guest, agent};
      const ready = `VM of process ${about.pid}, descriptor ${fd}, at ${about.socket}`;
      const tell = (now: Pick<VmDocument, 'state' | 'clients' | 'seconds'>, line: string): void => {
        const wbinvds = machine.wbinvds === null ? null : Number(machine.wbinvds);
        const document: VmDocument = {schemaVersion: 1, ...about, ...now, wbinvds};
        if (this.jsonEnabled()) this.printJsonLine(document);
        else this.printLines([printable(line)]);
      };
      if (this.jsonEnabled()) this.note(ready);
      tell({state: 'ready', clients: 0, seconds: 0}, ready);
      const clients = await serveVm(machine.vm, listener, {
        agent: flags.agent,
        signal: ending.signal,
        onWarning: (message) => {
          this.note(message);
        },
      });
      await machine.stop();
      const {reason} = ending.signal as {reason: unknown};
      if (reason instanceof Failure) throw reason;
      const {wbinvds} = machine;
      const seconds = Math.round(performance.now() - began) / 1000;
      tell({state: 'ended', clients, seconds}, summary(clients, wbinvds, seconds));
      return null;
    } finally {
      process.off('SIGUSR2', toggle);
      for (const signal of ENDING_SIGNALS) process.off(signal, stop);
    }
  }

  async #togglePause(machine: MinimalVm): Promise<void> {
    const paused = await machine.togglePause();
    this.note(
      paused ? `the guest is paused, WBINVD executed ${machine.wbinvds ?? 0n} times` : 'the guest runs',
    );
  }
}

const summary = (clients: number, wbinvds: bigint | null, seconds: number): string =>
  `${clients} ${clients === 1 ? 'client' : 'clients'} in ${seconds} s${wbinvds === null ? '' : `, WBINVD executed ${wbinvds} times`}`;
