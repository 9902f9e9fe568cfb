import assert from 'node:assert/strict';
import {once} from 'node:events';
import {readFileSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import {countDescriptors, startVmm, type Vmm} from '../vm/vmm.js';
import type {Arena, Victim} from '../owner/inject/victim.js';
import type {Ending} from './kvfio.js';
import {made} from './programs.js';
import type {Chance, Tally} from './trial.js';

/** A victim that kvfio works with again and again: it has a kvm-vfio device or not, and nothing else ever changes. */
export class WatchedVictim {
  readonly victim: Victim;
  readonly #before: readonly string[];

  constructor(victim: Victim) {
    this.victim = victim;
    this.#before = victim.descriptors();
  }

  static async start(arena: Arena, args: string[]): Promise<WatchedVictim> {
    // what it does without end is to leave others their time
    const victim = await arena.victim(args, {wrap: ['nice', '-n', '19']});
    // its vCPU is made by a thread of its own
    if (args.includes('vcpus')) await victim.until(({other1}) => other1 > 0);
    return new WatchedVictim(victim);
  }

  get pid(): number {
    return this.victim.pid;
  }

  /** What it has open beyond what it had. */
  get more(): string[] {
    return this.victim.descriptors().filter((line) => !this.#before.includes(line));
  }

  get hasDevice(): boolean {
    return this.more.some((line) => line.endsWith(' anon_inode:kvm-vfio'));
  }

  /**
   * Notes whether it is as well as ever.
   *
   * @param sockets - how many a hand-over may have left, which the next kvfio removes
   */
  async check(tally: Tally, when: string, sockets = 0): Promise<void> {
    try {
      await this.victim.isWell();
    } catch (error) {
      tally.harmed.push(`${when}: ${String(error)}`);
      throw error;
    }
    const gone = this.#before.filter((line) => !this.victim.descriptors().includes(line));
    if (gone.length > 0) tally.harmed.push(`${when}: ${gone.join(', ')} is gone`);
    const devices = this.more.filter((line) => line.endsWith(' anon_inode:kvm-vfio'));
    const handed = this.more.filter((line) => / socket:\[\d+\]$/.test(line));
    if (devices.length > 1 || handed.length > sockets || devices.length + handed.length !== this.more.length)
      tally.leaked.push(`${when}: ${this.more.join(', ')}`);
  }
}

/** The command that changes what there is: a device comes, or goes. */
export const change = (hasDevice: boolean, ...where: string[]): string[] =>
  hasDevice ? ['detach', '--all', '--close-device', ...where] : ['create', '--if-missing', ...where];

/**
 * When to kill, counted from a command's start: mostly in the second half of what it takes, as before that it is Node that
 * starts. It learns from commands that were left alone, because the load of the machine changes.
 */
export class KillTimes {
  readonly #chance: Chance;
  readonly #last: number[] = [];

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  learn({exit, milliseconds, stderr}: Ending): void {
    assert.equal(exit, 0, stderr);
    this.#last.push(milliseconds);
    if (this.#last.length > 9) this.#last.shift();
  }

  /** Milliseconds. */
  next(): number {
    const median = [...this.#last].sort((a, b) => a - b)[Math.floor(this.#last.length / 2)] ?? 200;
    const part = this.#chance.next();
    return median * (part < 0.1 ? part * 5 : 0.5 + 0.55 * this.#chance.next());
  }
}

/** The VMM in C that has the agent's header in it. */
export const startExample = (socket: string): Promise<Vmm> => startVmm([made('example-vmm'), socket]);

/** Resident KiB of a process. */
export const residentOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? NaN);

/** Descriptors of a process when it has had time to close some. */
export const descriptorsAtRest = async (pid: number, expected: number): Promise<number> => {
  let count = countDescriptors(pid);
  for (let round = 0; round < 300 && count !== expected; round += 1) {
    await sleep(10);
    count = countDescriptors(pid);
  }
  return count;
};

export const killed = async (vmm: Vmm): Promise<void> => {
  const {process: child} = vmm;
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
};
