import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {existsSync, readFileSync, symlinkSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {Process} from '../../src/linux/proc/process.js';
import {askMonitor} from '../vm/monitor.js';
import type {Arena} from '../owner/inject/victim.js';
import type {Kind} from './kinds.js';

/** An owner of the zoo that lives. */
export interface Owner {
  pid: number;
  /** Of its VM, the last where it has several. */
  vmFd: number;
  /** Fails unless it goes on as if nothing had been. */
  isWell: () => Promise<void>;
  /** How many calls of it have failed with EINTR, and were then made again. */
  interrupted: () => number;
  kill: () => void;
}

/** @param folder - of the programs */
export const startOwner = (arena: Arena, folder: string, kind: Kind): Promise<Owner> =>
  kind.program === 'qemu' ? startQemu(arena, kind) : startProgram(arena, folder, kind);

const startProgram = async (arena: Arena, folder: string, {program, args, wrap}: Kind): Promise<Owner> => {
  const link = join(arena.folder, program);
  if (!existsSync(link)) symlinkSync(join(folder, program), link);
  const victim = await arena.victim([...args], {program, ...(wrap === undefined ? {} : {wrap: [...wrap]})});
  // that its vCPU runs shows only so
  if (args.includes('vcpus') || args.includes('vcpu')) await victim.until(({other1}) => other1 > 0);
  const pid = wrap === undefined ? victim.pid : innermost(victim.pid);
  const vmFd = victim.report.vmFd;
  const spins = args[0] === 'vcpu';
  return {
    pid,
    vmFd,
    isWell: async () => {
      // what never leaves the guest cannot say more
      if (!spins) await victim.isWell();
      const {broken, detail} = victim.report;
      if (broken > 0) throw new Error(`line ${broken} found ${detail.toString(16)}`);
      isTracedByNobody(pid);
    },
    interrupted: () => victim.report.interrupted,
    kill: () => {
      victim.kill();
    },
  };
};

const isTracedByNobody = (pid: number): void => {
  const process = new Process(pid);
  for (const tid of process.tasks()) {
    const tracer = readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8').match(/^TracerPid:\s*(\d+)/m)?.[1];
    if (tracer !== '0') throw new Error(`thread ${tid} is traced by ${tracer ?? 'somebody'}`);
  }
};

const innermost = (pid: number): number => {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
  return child ? innermost(Number(child)) : pid;
};

/** Bytes of a disk. */
const HUGE = 2 ** 40;

/** With the word `job` first among the arguments a block job runs all the time. */
const startQemu = async (arena: Arena, {args}: Kind): Promise<Owner> => {
  const socket = join(arena.folder, `monitor-${process.hrtime.bigint()}`);
  const hasJob = args[0] === 'job';
  const qemu = spawn(
    'qemu-system-x86_64',
    [
      ...['-accel', 'kvm', '-display', 'none', '-nodefaults', '-m', '16', ...args.slice(hasJob ? 1 : 0)],
      ...['-monitor', `unix:${socket},server=on,wait=off`],
      ...(hasJob ? ['-drive', `if=none,id=disk,driver=null-co,size=${HUGE},latency-ns=10000000`] : []),
    ],
    {stdio: ['ignore', 'ignore', 'inherit']},
  );
  const ended = once(qemu, 'exit');
  const ask = async (command: string): Promise<string> => {
    const answer = await Promise.race([askMonitor(socket, command), ended.then(() => null)]);
    if (answer === null) throw new Error(`it ended with ${qemu.signalCode ?? qemu.exitCode ?? ''}`);
    return answer;
  };
  const listens = async (): Promise<boolean> => {
    if (qemu.exitCode !== null) throw new Error(`QEMU ended with ${qemu.exitCode}`);
    return existsSync(socket) && (await ask('info status').catch(() => '')).includes('VM status');
  };
  while (!(await listens())) await sleep(20);
  // so much that it is there to the end
  if (hasJob) await ask(`drive_backup -n disk json:{"driver":"null-co","size":${HUGE}}`);
  const status = async (): Promise<string> => /VM status: .*/.exec(await ask('info status'))?.[0] ?? '';
  const before = await status();
  const pid = qemu.pid ?? -1;
  const vm = [...new Process(pid).descriptors()].find(([, link]) => link === 'anon_inode:kvm-vm');
  return {
    pid,
    vmFd: vm?.[0] ?? -1,
    isWell: async () => {
      const now = await status();
      if (now !== before) throw new Error(`"${now}" was "${before}"`);
      if (hasJob && !/Type backup/.test(await ask('info block-jobs'))) throw new Error('the job is gone');
      isTracedByNobody(pid);
    },
    interrupted: () => 0,
    kill: () => {
      qemu.kill('SIGKILL');
    },
  };
};
