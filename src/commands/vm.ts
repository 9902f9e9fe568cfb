import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {EndingSignals} from '../cli/ending-signals.js';
import {printable} from '../printable.js';
import {defaultSocket} from '../vm/default-socket.js';
import {GUESTS, type Guest} from '../vm/minimal-vm.js';
import {runMinimalVm} from '../vm/run-minimal-vm.js';

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
  `${clients} ${clients === 1 ? 'client' : 'clients'} in ${seconds} s${wbinvds === null ? '' : `, WBINVD executed ${wbinvds} times`}`;
