import {Failure} from '../failure.js';
import {MinimalVm, type DemoGuest} from './minimal-vm.js';
import {listenAt, serveVm} from './serve-vm.js';

/** Where a VM can be found that is ready to be connected to. */
export interface ReadyVm {
  /** Path, or abstract name as `@name`. */
  socket: string;
  /** The VM's descriptor in this process. */
  fd: number;
  /** WBINVDs executed until now; null when the guest does not do that. */
  wbinvds: bigint | null;
}

/** What a VM was. */
export interface EndedVm {
  /** The VM as it was when it was ready. */
  ready: ReadyVm;
  /** Connections that it has accepted. */
  clients: number;
  wbinvds: bigint | null;
}

export interface RunVmOptions {
  socket: string;
  guest: DemoGuest;
  /** The guest waits for the first SIGUSR2. */
  paused: boolean;
  /** Answer the agent protocol; otherwise only send the descriptor. */
  agent: boolean;
  /** Ends it. */
  signal: AbortSignal;
  onReady: (vm: ReadyVm) => void;
  /** Called when SIGUSR2 has paused the guest (`paused`) or resumed it. */
  onToggled: (paused: boolean, wbinvds: bigint | null) => void;
  onWarning: (message: string) => void;
}

/**
 * Runs a VM of this process, which everybody who may can get at a socket, until `signal` is aborted. SIGUSR2 pauses its
 * guest and resumes it.
 *
 * @throws {@link Failure} when this host cannot run it, or its guest cannot go on
 */
export const runMinimalVm = async ({
  socket,
  guest,
  paused,
  agent,
  signal,
  onReady,
  onToggled,
  onWarning,
}: RunVmOptions): Promise<EndedVm> => {
  const failed = new AbortController();
  let running: MinimalVm | undefined;
  const toggle = async (machine: MinimalVm): Promise<void> => {
    onToggled(await machine.togglePause(), machine.wbinvds);
  };
  const onSignal = (): void => {
    if (running !== undefined) void toggle(running);
  };
  process.on('SIGUSR2', onSignal);
  try {
    using listener = listenAt(socket);
    // also when the line of onReady cannot be written, which ends the process
    process.once('exit', () => {
      listener[Symbol.dispose]();
    });
    await using machine = MinimalVm.create(
      guest,
      (failure) => {
        failed.abort(failure);
      },
      paused,
    );
    running = machine;
    const ready: ReadyVm = {socket: listener.address, fd: machine.vm.fd, wbinvds: machine.wbinvds};
    onReady(ready);
    const end = AbortSignal.any([signal, failed.signal]);
    const clients = await serveVm(machine.vm, listener, {agent, signal: end, onWarning});
    await machine.stop();
    const {reason} = end as {reason: unknown};
    if (reason instanceof Failure) throw reason;
    return {ready, clients, wbinvds: machine.wbinvds};
  } finally {
    process.off('SIGUSR2', onSignal);
  }
};
