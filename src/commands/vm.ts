import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {EndingSignals} from '../cli/ending-signals.js';
import {printable} from '../printable.js';
import {defaultSocket} from '../demo-vm/default-socket.js';
import {GUESTS, type DemoGuest} from '../demo-vm/minimal-vm.js';
import {runMinimalVm} from '../demo-vm/run-minimal-vm.js';

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
  guest: DemoGuest;
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
  static override summary = 'Run a minimal VM that passes its descriptor to any client.';

  static override description = `Creates a VM in this process and listens at a socket, so that you can try the other commands on any machine with /dev/kvm. It prints a line when the VM is ready and one when it ends; --json prints a document for each. Ctrl-C ends it.

Only root and the user who started it may connect. kvfio replaces a socket at which nobody listens any more, and refuses one that is in use. SIGTERM ends it, too, with exit code 0; the socket is then removed.

SIGUSR2 pauses the guest, and the next one resumes it. For each pause a line on stderr says exactly how many WBINVDs the guest has executed, so that an observer can compare what it counted in between.

With --no-agent it behaves like a VMM that knows nothing of kvfio and only sends the descriptor.`;

  static override usage = 'vm [FLAGS]';

  static override examples = [
    {
      description: 'at the default socket',
      command: '<%= config.bin %> vm',
    },
    {description: 'a VM without an agent', command: '<%= config.bin %> vm --sock /tmp/vm.sock --no-agent'},
    {
      description: 'count how many WBINVDs a guest executes in ten seconds',
      command: 'timeout --preserve-status -s INT 10 <%= config.bin %> vm --guest wbinvd --json',
    },
  ];

  static override flags = {
    sock: Flags.string({
      helpValue: 'PATH|@NAME',
      summary: 'where to listen: a path, or an abstract name after an @',
      description:
        'where to listen: a path, or an abstract name after an @; default $XDG_RUNTIME_DIR/kvfio/vm.sock, for root /run/kvfio/vm.sock',
    }),
    guest: Flags.option({
      options: GUESTS,
      default: 'idle' as const,
      description: 'what it executes: nothing (no vCPU), or WBINVD in a loop',
    })(),
    paused: Flags.boolean({description: 'pause the guest until the first SIGUSR2'}),
    agent: Flags.boolean({
      default: true,
      allowNo: true,
      description: "answer kvfio's agent protocol on the socket",
    }),
  };

  async run(): Promise<null> {
    const {flags} = await this.parse(Vm);
    const began = performance.now();
    const {guest, agent, paused} = flags;
    const about = {pid: process.pid, guest, agent};
    using ending = new EndingSignals();
    const {ready, clients, wbinvds} = await runMinimalVm({
      socket: flags.sock ?? defaultSocket(),
      guest,
      paused,
      agent,
      signal: ending.signal,
      onReady: (vm) => {
        const line = `VM of process ${about.pid}, descriptor ${vm.fd}, at ${vm.socket}`;
        if (this.jsonEnabled()) this.note(line);
        this.#print({...about, ...vm, state: 'ready', clients: 0, seconds: 0}, line);
      },
      onToggled: (isPaused, executed) => {
        this.note(
          isPaused ? `the guest is paused, WBINVD executed ${executed ?? 0n} times` : 'the guest runs',
        );
      },
      onWarning: (message) => {
        this.note(message);
      },
    });
    const seconds = Math.round(performance.now() - began) / 1000;
    const line = summary(clients, wbinvds, seconds);
    this.#print({...about, ...ready, state: 'ended', clients, wbinvds, seconds}, line);
    return null;
  }

  #print({socket, pid, fd, wbinvds, guest, agent, ...now}: Printed, line: string): void {
    const about = {socket, pid, fd, vmFd: fd, guest, agent};
    const executed = wbinvds === null ? null : Number(wbinvds);
    const document: VmDocument = {schemaVersion: 1, ...about, ...now, wbinvds: executed};
    if (this.jsonEnabled()) this.printJsonLine(document);
    else this.printLines([printable(line)]);
  }
}

type Printed = Omit<VmDocument, 'schemaVersion' | 'vmFd' | 'wbinvds'> & {wbinvds: bigint | null};

const summary = (clients: number, wbinvds: bigint | null, seconds: number): string =>
  `ended after ${seconds} s and ${clients} ${clients === 1 ? 'client' : 'clients'}${wbinvds === null ? '' : `, WBINVD executed ${wbinvds} times`}`;
