import assert from 'node:assert/strict';
import {execFileSync, spawn, type ChildProcess} from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import {chmodSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {setTimeout} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {Process} from '../../../src/linux/proc/process.js';
import {readTask} from '../../../src/owner/inject/candidates.js';

const SOURCE = fileURLToPath(new URL('victim.c', import.meta.url));

/** `struct report` of victim.c, 8 bytes each. */
const FIELDS = [
  'ready',
  'vmFd',
  'ticks',
  'broken',
  'detail',
  'interrupted',
  'longest',
  'expirations',
  'queued',
  'handlers',
  'other0',
  'other1',
  'measure',
] as const;

export type Report = Record<(typeof FIELDS)[number], number>;

/** Compiled programs and the reports of victims, in one folder that is removed at the end. */
export class Arena implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'kvfio-victims-'));
  readonly #victims: Victim[] = [];
  #count = 0;

  constructor() {
    chmodSync(this.folder, 0o755);
  }

  /** Compiles victim.c, or other source. */
  compile(name: string, flags: string[] = [], source = SOURCE): string {
    const program = join(this.folder, name);
    execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-Werror', '-pthread', '-o', program, source, ...flags]);
    return program;
  }

  /**
   * Starts a victim and waits until it is what it is to be.
   *
   * @param wrap - command that starts it, before its own arguments
   */
  async victim(
    args: string[],
    {program = 'victim', wrap = [], uid}: {program?: string; wrap?: string[]; uid?: number} = {},
  ): Promise<Victim> {
    const path = join(this.folder, program);
    if (!existsSync(path)) this.compile(program);
    const file = join(this.folder, `report-${(this.#count += 1)}`);
    writeFileSync(file, Buffer.alloc(4096));
    chmodSync(file, 0o666);
    const [mode = '', ...options] = args;
    const root = wrap[0] === 'chroot' ? this.folder : '';
    const inside = (name: string): string => (root === '' ? name : name.slice(root.length));
    const [command = '', ...rest] = [...wrap, inside(path), mode, inside(file), ...options];
    const child = spawn(command, rest, {
      stdio: ['ignore', 'ignore', 'inherit'],
      ...(uid === undefined ? {} : {uid, gid: uid}),
    });
    const victim = new Victim(child, file);
    this.#victims.push(victim);
    await victim.until(({ready}) => ready === 1);
    return victim;
  }

  /** Ends all victims. */
  clear(): void {
    for (const victim of this.#victims.splice(0)) victim.kill();
  }

  [Symbol.dispose](): void {
    this.clear();
    rmSync(this.folder, {recursive: true, force: true});
  }
}

/** A running victim.c. */
export class Victim {
  readonly child: ChildProcess;
  readonly #file: string;
  readonly #ended: Promise<string>;

  constructor(child: ChildProcess, file: string) {
    this.child = child;
    this.#file = file;
    this.#ended = new Promise((resolve) =>
      child.once('exit', (code, signal) => {
        resolve(signal ?? String(code));
      }),
    );
  }

  /** Its process, or with a wrapper that forks that one's child. */
  get pid(): number {
    return this.child.pid ?? -1;
  }

  get report(): Report {
    const bytes = readFileSync(this.#file);
    return Object.fromEntries(
      FIELDS.map((name, index) => [name, Number(bytes.readBigUInt64LE(index * 8))]),
    ) as Report;
  }

  /** Sets the field `measure`. */
  tell(value: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(value));
    const fd = openSync(this.#file, 'r+');
    writeSync(fd, bytes, 0, 8, FIELDS.indexOf('measure') * 8);
    closeSync(fd);
  }

  /** Descriptor links, as in `4 anon_inode:kvm-vm`. */
  descriptors(pid = this.pid): string[] {
    return [...new Process(pid).descriptors()].map(([fd, link]) => `${fd} ${link}`);
  }

  /** Waits for something to be true, and fails when the victim ends first. */
  async until(condition: (report: Report) => boolean): Promise<void> {
    while (!condition(this.report)) {
      const {exitCode, signalCode} = this.child;
      assert.ok(
        exitCode === null && signalCode === null,
        `the victim ended with ${exitCode ?? signalCode ?? ''}`,
      );
      await setTimeout(2);
    }
  }

  /** Fails unless the victim goes on, is traced by nobody, and has noticed nothing. */
  async isWell(): Promise<void> {
    const {ticks} = this.report;
    await this.until((report) => report.ticks > ticks + 1 || report.broken > 0);
    const {broken, detail} = this.report;
    assert.equal(broken, 0, `victim.c line ${broken} found ${detail.toString(16)}`);
    const process = new Process(this.pid);
    for (const tid of process.tasks()) assert.equal(readTask(process, tid)?.status.tracerPid ?? 0, 0);
  }

  /** How it ended: the name of a signal, or an exit code. */
  ended(): Promise<string> {
    return this.#ended;
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }
}
