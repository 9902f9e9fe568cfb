import {readFileSync} from 'node:fs';
import {Failure} from '../../failure.js';
import {allowedCpus, currentCpu, runOn} from '../../linux/affinity.js';
import {SyscallError} from '../../linux/errno.js';

/** Which CPUs of the host the vCPU is on. Applies to this thread, until it is disposed of. */
export class HostCpus implements Disposable {
  /** The CPU that samples are taken on; null when the kernel chooses. */
  readonly home: number | null;
  /** The CPUs that the vCPU is loaded on before each sample, besides that one. */
  readonly #others: readonly number[];
  readonly #before: readonly number[];
  readonly #seen = new Set<number>();

  /**
   * @param cpu - the only one to run on
   * @param visited - how many the vCPU is to have been on before each sample, with the one it is taken on
   * @throws {@link Failure} when this thread may not run there
   */
  constructor({cpu, visited}: {cpu: number | undefined; visited: number | undefined}) {
    this.#before = allowedCpus();
    this.home = cpu ?? (visited === undefined ? null : (this.#before[0] ?? 0));
    if (this.home !== null && !this.#before.includes(this.home)) throw notAllowed(this.home, this.#before);
    if (visited !== undefined && visited > this.#before.length) throw tooFew(visited, this.#before);
    this.#others = this.#before.filter((other) => other !== this.home).slice(0, (visited ?? 1) - 1);
    if (this.home !== null) goTo(this.home, this.#before);
  }

  /** Goes through the other CPUs and back. */
  wander(visit: () => void): void {
    if (this.home === null) return;
    for (const other of this.#others) {
      goTo(other, this.#before);
      visit();
    }
    goTo(this.home, this.#before);
  }

  get wanders(): boolean {
    return this.#others.length > 0;
  }

  /** Notes the CPU that this thread is on. */
  look(): void {
    this.#seen.add(currentCpu());
  }

  /** The CPUs that were noted. */
  get seen(): number[] {
    return [...this.#seen].sort((a, b) => a - b);
  }

  /** The CPUs that the vCPU is loaded on for each sample, besides the one it is taken on. */
  get others(): readonly number[] {
    return this.#others;
  }

  [Symbol.dispose](): void {
    if (this.home !== null) runOn(this.#before);
  }
}

const goTo = (cpu: number, allowed: readonly number[]): void => {
  try {
    runOn([cpu]);
  } catch (error) {
    throw error instanceof SyscallError ? notAllowed(cpu, allowed, error) : error;
  }
};

const notAllowed = (cpu: number, allowed: readonly number[], cause?: SyscallError): Failure => {
  const [present, online] = [cpusOf('present'), cpusOf('online')];
  const exists = present === null || present.includes(cpu);
  // a CPU that is being taken offline refuses threads before the list of those online says so
  const isOffline =
    (online !== null && !online.includes(cpu)) || (cause !== undefined && allowed.includes(cpu));
  const why = !exists
    ? `This machine has no CPU ${cpu}.`
    : isOffline
      ? `CPU ${cpu} is offline.`
      : `CPU ${cpu} is outside of what this process may use (${listOf(allowed)}).`;
  return new Failure({
    code: 'CPU_NOT_USABLE',
    kind: exists ? 'refused' : 'notFound',
    what: `The probe cannot run on CPU ${cpu}.`,
    why,
    hint: `Name one of ${listOf(allowed)}, or change the affinity or the cpuset that kvfio is started with.`,
    errno: cause?.code,
    cause,
  });
};

const tooFew = (visited: number, allowed: readonly number[]): Failure =>
  new Failure({
    code: 'TOO_FEW_CPUS',
    kind: 'refused',
    what: `The vCPU cannot visit ${visited} CPUs.`,
    why: `This process may use ${allowed.length}: ${listOf(allowed)}.`,
    hint: 'Name a smaller number, or change the affinity or the cpuset that kvfio is started with.',
  });

/** CPUs by the kernel's own list; null when it does not say. */
const cpusOf = (name: 'online' | 'present'): number[] | null => {
  try {
    return parseList(readFileSync(`/sys/devices/system/cpu/${name}`, 'utf8'));
  } catch {
    return null;
  }
};

/** The numbers of a list such as `0-3,8`. */
const parseList = (text: string): number[] =>
  text
    .trim()
    .split(',')
    .flatMap((part) => {
      const [first = NaN, last = first] = part.split('-').map(Number);
      return Array.from({length: last - first + 1 || 0}, (_, index) => first + index);
    });

/** `0-3,8`. */
export const listOf = (numbers: readonly number[]): string => {
  const ranges: [number, number][] = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
};
