import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import type {Socket} from 'node:net';
import {createInterface} from 'node:readline';
import {Failure} from '../failure.js';
import {Console} from './console.js';
import {SERIAL_DESCRIPTORS} from './qemu.js';
import {removeFolder} from './scratch.js';

/**
 * Keeps QEMU from outliving kvfio. kvfio holds the other end of this shell's standard input, which the kernel
 * closes however kvfio ends, SIGKILL included; then QEMU is killed and the folder removed.
 *
 * QEMU's process id cannot come to mean another process before the kill, for nothing waits for it until then.
 */
const WATCHDOG = `
folder=$1; shift
"$@" </dev/null & qemu=$!
exec 2>/dev/null 3>&- 4>&- 5>&-
read -r _
kill -KILL $qemu; wait $qemu
rm -rf "$folder"
`;

/** A line of the guest on its control port. */
type Report =
  | {kind: 'begin'}
  | {kind: 'exit'; code: number}
  | {kind: 'fail'; reason: string}
  | {kind: 'unsafe'; module: string};

/** What is started: QEMU with its arguments, and the private folder that goes away with it. */
export interface GuestParts {
  busybox: string;
  qemu: string;
  arguments: string[];
  folder: string;
  /** Receives each line of the kernel's console. */
  onConsole: (line: string) => void;
  /** Gets the name of a module that does without interrupt remapping because the kernel has none. */
  onUnsafe: (module: string) => void;
}

/** A running guest. Whoever starts one must {@link stop} it. */
export class LabGuest {
  /** The serial port that is the terminal of an interactive session. */
  readonly terminal: Socket;
  readonly #console: Console;
  readonly #control: Socket;
  readonly #watchdog: ChildProcess;
  readonly #closed: Promise<unknown>;
  readonly #begun: Promise<Report>;
  readonly #ended: Promise<Report>;
  readonly #died: Promise<never>;
  #complaints = '';

  constructor({busybox, qemu, arguments: args, folder, onConsole, onUnsafe}: GuestParts) {
    // a session of its own: Ctrl-C is for kvfio, which then ends the guest in its own order
    this.#watchdog = spawn(busybox, ['sh', '-c', WATCHDOG, 'kvfio-lab', folder, qemu, ...args], {
      stdio: ['pipe', 'ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
      detached: true,
    });
    this.#closed = once(this.#watchdog, 'close');
    // after the watchdog's own work there is nothing left to do, unless somebody killed it
    this.#watchdog.on('exit', () => {
      removeFolder(folder);
    });
    const {console, control, terminal} = SERIAL_DESCRIPTORS;
    const streams = this.#watchdog.stdio as (Socket | undefined)[];
    const port = (descriptor: number): Socket => streams[descriptor] ?? fail(`descriptor ${descriptor}`);
    for (const descriptor of [0, console, control, terminal]) {
      // an end that QEMU closed is seen as the end of the console
      port(descriptor).on('error', () => undefined);
    }
    this.terminal = port(terminal);
    this.#control = port(control);
    this.#console = new Console(onConsole);
    port(console).on('data', (data: Buffer) => {
      this.#console.add(data);
    });
    port(2).on('data', (data: Buffer) => (this.#complaints += data.toString('utf8')));

    const reports = this.#reports(onUnsafe);
    this.#begun = reports('begin');
    this.#ended = reports('exit');
    this.#died = Promise.all([once(port(console), 'close'), once(port(2), 'close')]).then(() => {
      throw this.#death();
    });
    this.#died.catch(() => undefined);
  }

  /** Fulfilled when the guest is about to start the session; rejected when it cannot, or dies. */
  async begun(): Promise<void> {
    await this.#unlessDead(this.#begun);
  }

  /** Fulfilled with the exit code of the session; rejected when the guest dies before. */
  async ended(): Promise<number> {
    const report = await this.#unlessDead(this.#ended);
    return report.kind === 'exit' ? report.code : 0;
  }

  /** Sends the guest a line, in the words of `control` in guest-scripts.ts. Only after {@link begun}. */
  tell(line: string): void {
    this.#control.write(`${line}\n`);
  }

  /** The last lines of the kernel's console. */
  get console(): string[] {
    return this.#console.tail;
  }

  /** Ends the guest if it still runs, and returns when neither QEMU nor its folder is left. */
  async stop(): Promise<void> {
    if (this.#watchdog.exitCode === null && this.#watchdog.signalCode === null) {
      const exit = once(this.#watchdog, 'exit');
      this.#watchdog.stdin?.end();
      await exit;
    }
    this.terminal.resume();
    await this.#closed;
  }

  async #unlessDead(report: Promise<Report>): Promise<Report> {
    const first = await Promise.race([report, this.#died]);
    if (first.kind === 'fail') throw guestFailed(first.reason, this.console);
    return first;
  }

  /** Hands out a promise for each kind of report; a `fail` fulfils all of them. */
  #reports(onUnsafe: GuestParts['onUnsafe']): (kind: Report['kind']) => Promise<Report> {
    const lines = createInterface({input: this.#control});
    lines.on('line', (line) => {
      const report = parseReport(line);
      if (report?.kind === 'unsafe') onUnsafe(report.module);
    });
    return (kind) =>
      new Promise((resolve) => {
        lines.on('line', (line) => {
          const report = parseReport(line);
          if (report?.kind === kind || report?.kind === 'fail') resolve(report);
        });
      });
  }

  #death(): Failure {
    const complaint = this.#complaints
      .split('\n')
      .filter((line) => line !== '' && !line.includes(': warning: '))
      .join('\n');
    if (this.console.length === 0 && complaint !== '') return qemuRefused(complaint);
    const {panic} = this.#console;
    return new Failure({
      code: panic === null ? 'LAB_GUEST_DIED' : 'LAB_GUEST_PANICKED',
      kind: 'kernelRefused',
      what:
        panic === null ? 'The lab guest ended before its command did.' : `The lab guest panicked: ${panic}`,
      why: [...lastLines(this.console), ...(complaint === '' ? [] : [`QEMU said: ${complaint}`])].join('\n'),
      hint: 'Run it again with --verbose to see the whole console.',
    });
  }
}

/** The console's end as the lines of a failure's reason. */
export const lastLines = (console: string[]): string[] =>
  console.length === 0
    ? ['Its console stayed empty.']
    : ['The last lines of its console:', ...console.map((line) => `| ${line}`)];

const parseReport = (line: string): Report | null => {
  const [, verb, rest = ''] = /^(\w+) ?(.*)$/.exec(line.trim()) ?? [];
  if (verb === 'begin') return {kind: 'begin'};
  if (verb === 'exit') return {kind: 'exit', code: Number(rest)};
  if (verb === 'unsafe') return {kind: 'unsafe', module: rest};
  return verb === 'fail' ? {kind: 'fail', reason: rest} : null;
};

const guestFailed = (reason: string, console: string[]): Failure =>
  new Failure({
    code: 'LAB_GUEST_FAILED',
    kind: 'kernelRefused',
    what: `The lab guest could not be set up: ${reason}.`,
    why: lastLines(console).join('\n'),
    hint: 'Try another kernel with --kernel; --verbose shows the whole console.',
  });

const qemuRefused = (complaint: string): Failure =>
  new Failure({
    code: 'LAB_QEMU_REFUSED',
    kind: 'cannotDecide',
    what: 'QEMU did not start the lab guest.',
    why: complaint,
    hint: 'Check --pci and --accel if you gave them; "qemu-system-x86_64 -device help" lists the devices.',
  });

const fail = (what: string): never => {
  throw new Error(`no stream for ${what}`);
};
