import {tmpdir} from 'node:os';
import {join} from 'node:path';
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {readFileSync, rmSync} from 'node:fs';
import {Process} from '../../src/linux/proc/process.js';
import {countDescriptors, startKvfioVm} from '../vm/vmm.js';
import {endsProperly, kvfio, type Ending} from './kvfio.js';
import {WatchedVictim, change, descriptorsAtRest, killed, startExample} from './owners.js';
import {arenaOfTrial} from './programs.js';
import type {Tally, Trial} from './trial.js';

/** What the layer linux/ calls, and what each can be told beside ENOMEM. */
const CALLS: Record<string, readonly string[]> = {
  openat: ['ENOMEM', 'EMFILE', 'ENFILE'],
  readlink: ['ENOMEM'],
  getdents64: ['ENOMEM'],
  pread64: ['ENOMEM'],
  pwrite64: ['ENOMEM'],
  ioctl: ['ENOMEM'],
  ptrace: ['ENOMEM'],
  wait4: ['ENOMEM'],
  process_vm_readv: ['ENOMEM'],
  kcmp: ['ENOMEM'],
  pidfd_open: ['ENOMEM', 'EMFILE'],
  pidfd_getfd: ['ENOMEM', 'EMFILE'],
  flock: ['ENOMEM'],
  fcntl: ['ENOMEM'],
  clone3: ['ENOMEM'],
  pipe2: ['ENOMEM', 'EMFILE'],
  eventfd2: ['ENOMEM', 'EMFILE'],
  poll: ['ENOMEM'],
  ppoll: ['ENOMEM'],
  socket: ['ENOMEM', 'EMFILE'],
  connect: ['ENOMEM'],
  getsockopt: ['ENOMEM'],
  bind: ['ENOMEM'],
  listen: ['ENOMEM'],
  accept4: ['ENOMEM', 'EMFILE'],
  sendmsg: ['ENOMEM'],
  recvmsg: ['ENOMEM'],
  chdir: ['ENOMEM'],
  statx: ['ENOMEM'],
};

export const trial: Trial = {
  what: 'ENOMEM, EMFILE and ENFILE from each system call',
  needs: ['x64', 'kvm', 'cc', 'strace'],
  run: async (tally, {size}) => {
    const short = size !== 'large';
    using arena = arenaOfTrial();
    const owner = await WatchedVictim.start(arena, ['poll']);
    const socket = `${arena.folder}/agent.sock`;
    await using vmm = await startExample(socket);
    const idle = countDescriptors(vmm.pid);
    const seen = new Set<string>();
    const hasDevice = (): boolean =>
      [...new Process(vmm.pid).descriptors()].some(([, link]) => link === 'anon_inode:kvm-vfio');
    const pid = ['--pid', String(owner.pid)];
    const at = ['--vm-sock', socket, '--via', 'agent'];
    const jobs: Job[] = [
      {
        // create and detach by turns: each injection meets the state that the one before it left
        argv: () => change(owner.hasDevice, ...pid),
        state: () => Promise.resolve(owner.more.join()),
        check: (when) => owner.check(tally, when),
      },
      {
        argv: () => change(hasDevice(), ...at),
        state: async () => String((await descriptorsAtRest(vmm.pid, idle + (hasDevice() ? 1 : 0))) - idle),
        check: (when) => {
          if (vmm.process.exitCode !== null) tally.harmed.push(`${when}: the VMM ended`);
          return Promise.resolve();
        },
      },
      ...[['vms'], ['status', ...pid], ['groups'], ['doctor']].map((argv): Job => ({
        argv: () => argv,
        state: () => Promise.resolve(owner.more.join()),
        check: (when) => owner.check(tally, when),
      })),
    ];
    const trace = `${arena.folder}/trace`;
    for (const [index, job] of (short ? jobs.slice(0, 2) : jobs).entries())
      await injectAll(tally, job, {most: short ? 1 : index === 0 ? 40 : 10, short, trace, seen});
    await agentGoesOn(tally, short);
    if (owner.hasDevice) endsProperly(await kvfio(change(true, ...pid)));
    tally.detail = `${seen.size} kinds of calls (${[...seen].sort().join(' ')}) in create, detach, vms, status, groups, doctor, vm`;
  },
};

interface Job {
  argv: () => readonly string[];
  /** What there is in the owner. */
  state: () => Promise<string>;
  check: (when: string) => Promise<void>;
}

interface Manner {
  /** So many of the calls of one kind. */
  most: number;
  short: boolean;
  trace: string;
  seen: Set<string>;
}

/** Fails calls of each kind that come after Node has started. */
const injectAll = async (tally: Tally, job: Job, {most, short, trace, seen}: Manner): Promise<void> => {
  const counted = new Map<string, number[]>();
  // both of what the job does by turns
  for (let time = 0; time < 2; time += 1) {
    const baseline = await kvfio([...job.argv(), '--json'], {
      wrap: ['strace', '-o', trace, '-e', `trace=${Object.keys(CALLS).join()}`],
    });
    endsProperly(baseline);
    for (const [call, numbers] of numbersOf(trace))
      if (numbers.length > (counted.get(call)?.length ?? 0)) counted.set(call, numbers);
  }
  for (const [call, every] of counted) {
    const step = Math.ceil(every.length / most);
    const numbers = every.filter((_, index) => index % step === Math.floor(step / 2));
    for (const when of numbers)
      for (const error of short ? (CALLS[call] ?? []).slice(0, 1) : (CALLS[call] ?? []))
        await tally.round(async () => {
          seen.add(call);
          await injectOne(job, {trace, call, error, when});
        });
  }
};

const injectOne = async (
  job: Job,
  {trace, call, error, when}: {trace: string; call: string; error: string; when: number},
): Promise<void> => {
  const before = await job.state();
  const argv = job.argv();
  const ending = await kvfio([...argv, '--json'], {
    wrap: [
      ...['strace', '-o', trace, '-e', `trace=${call}`, '-e', 'signal=none'],
      ...['-e', `inject=${call}:error=${error}:when=${when}`],
    ],
  });
  const how = `${argv.join(' ')}: ${error} from ${call} ${when}`;
  await job.check(how);
  const injected = injectedIn(trace);
  // the call that had this number when they were counted is another one now
  if (NODES_OWN.test(injected)) return;
  properly(ending, how, injected);
  const after = await job.state();
  if (ending.exit !== 0 && after !== before) {
    const {error: told} = JSON.parse(ending.stdout) as {error: {code: string}};
    assert.ok(
      ['ROLLBACK_INCOMPLETE', 'AGENT_CUT_OFF'].includes(told.code),
      `${how}: it failed and had changed "${before}" to "${after}"\n${ending.stdout}`,
    );
  }
};

const properly = (ending: Ending, how: string, injected: string): void => {
  try {
    endsProperly(ending);
  } catch (error) {
    throw new Error(`${how}\n${injected}\n${String(error)}`, {cause: error});
  }
};

const injectedIn = (trace: string): string =>
  readFileSync(trace, 'utf8')
    .split('\n')
    .find((line) => line.includes('INJECTED')) ?? 'nothing was injected';

/**
 * Calls that the kernel does not fail so, or that are Node's: it asks for the flags of its standard streams, and sets them at its end,
 * and aborts when that fails; and when libuv cannot start the threads that do what is waited for.
 */
const NODES_OWN = /F_[GS]ETFL|CLONE_THREAD/;

/** Which of the calls of each kind, counted from 1, come when the command has been looked for: before that Node starts. */
const numbersOf = (trace: string): Map<string, number[]> => {
  const counts = new Map<string, number>();
  const found = new Map<string, number[]>();
  let started = false;
  for (const line of readFileSync(trace, 'utf8').split('\n')) {
    started ||= line.includes('dist/bundle/commands/');
    const [, call = ''] = /^(\w+)\(/.exec(line) ?? [];
    if (!(call in CALLS)) continue;
    const number = (counts.get(call) ?? 0) + 1;
    counts.set(call, number);
    if (started && !NODES_OWN.test(line)) found.set(call, [...(found.get(call) ?? []), number]);
  }
  rmSync(trace, {force: true});
  return found;
};

/** `kvfio vm` serves the next client when what it does for one fails. */
const agentGoesOn = async (tally: Tally, short: boolean): Promise<void> => {
  const socket = join(tmpdir(), 'failing.sock');
  const vmm = await startKvfioVm(['--sock', socket]);
  const where = ['--vm-sock', socket, '--via', 'agent'];
  try {
    for (const call of ['accept4', 'recvmsg', 'sendmsg', 'ioctl', 'getsockopt']) {
      for (let when = 1; when <= (short ? 1 : 4); when += 1) {
        await tally.round(async () => {
          const strace = await attach(vmm.pid, call, when);
          const ending = await kvfio(['create', '--if-missing', '--json', '--timeout', '5', ...where]);
          await strace();
          endsProperly(ending);
          const next = await kvfio(['detach', '--all', '--close-device', '--json', ...where]);
          assert.equal(next.exit, 0, `after ENOMEM from ${call} ${when}: ${next.stdout}`);
        });
      }
    }
    if ((await vmm.end()) !== 0) tally.harmed.push(`kvfio vm: ${vmm.output().stderr}`);
  } finally {
    await killed(vmm);
  }
};

/** Injects into a process that runs. @returns what lets it go */
const attach = async (pid: number, call: string, when: number): Promise<() => Promise<void>> => {
  const strace = spawn(
    'strace',
    ['-p', String(pid), '-e', `trace=${call}`, '-e', `inject=${call}:error=ENOMEM:when=${when}`],
    {stdio: ['ignore', 'ignore', 'pipe']},
  );
  const ended = once(strace, 'exit');
  await once(strace.stderr, 'data'); // "Process ... attached"
  strace.stderr.resume();
  return async () => {
    strace.kill('SIGINT');
    await ended;
  };
};
