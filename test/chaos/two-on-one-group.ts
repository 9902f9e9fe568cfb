import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {readFileSync, readdirSync, writeFileSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import {recoverDevices} from '../../src/vfio/bind/recover.js';
import {unbindDevices} from '../../src/vfio/bind/unbind.js';
import {SimulatedBus} from '../vfio/bind/simulated-bus.js';
import {GROUPS, NATIVES, twoGroups} from '../support/two-groups.js';
import {made} from './programs.js';
import type {Tally, Trial} from './trial.js';

/** At once. */
const MANY = 3;

export const trial: Trial = {
  what: `${MANY} kvfio at once on the same groups, killed between changes`,
  needs: [],
  run: async (tally, {size, seed}) => {
    using built = twoGroups();
    const bus = new SimulatedBus(built, NATIVES);
    const before = bus.state();
    const log = built.path('log');
    writeFileSync(log, '');
    const seconds = size === 'large' ? 120 : 12;
    const kills = {count: 0};
    const end = Date.now() + seconds * 1000;
    const lanes = Array.from({length: MANY}, (_, index) =>
      lane(tally, {root: built.root, log, end, kills}, seed + 100 * index),
    );
    const codes = merged(await Promise.all(lanes));

    const works = contiguous(readFileSync(log, 'utf8'));
    tally.rounds += works.count;
    if (works.broken.length > 0)
      tally.lost.push(`two were at work with a device at once: ${works.broken.join(', ')}`);
    const options = {
      ...{dryRun: false, force: [], timeout: 5},
      onNote: () => undefined,
      setting: bus.setting(),
    };
    await recoverDevices(options);
    await unbindDevices(GROUPS, options);
    assert.deepEqual(bus.state(), before);
    const left = readdirSync(built.path('run/kvfio/bind')).filter((name) => /\.(json|tmp)$/.test(name));
    if (left.length > 0) tally.leaked.push(left.join(', '));
    tally.detail = `on a fake bus, ${seconds} s: ${kills.count} were killed; ${Object.entries(codes)
      .sort(([, a], [, b]) => b - a)
      .map(([code, count]) => `${count} ${code}`)
      .join(', ')}; then all is as it was`;
  },
};

interface Place {
  root: string;
  log: string;
  end: number;
  kills: {count: number};
}

/** One after the other until the time is over. */
const lane = async (
  tally: Tally,
  {root, log, end, kills}: Place,
  seed: number,
): Promise<Record<string, number>> => {
  for (let number = seed; ; number += 1) {
    const child = spawn(process.execPath, [made('bind-program.mjs'), root, log, String(number)], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const output = {stdout: '', stderr: ''};
    for (const stream of ['stdout', 'stderr'] as const)
      child[stream].on('data', (chunk: Buffer) => (output[stream] += chunk.toString()));
    child.stdin.on('error', () => undefined);
    const ended = new Promise<string>((resolve) =>
      child.once('close', (code, signal) => {
        resolve(String(signal ?? code));
      }),
    );
    await Promise.race([ended, sleep(Math.max(0, end - Date.now()))]);
    child.stdin.end();
    const timer = setTimeout(() => {
      tally.lost.push('it did not come to its end within 30 s');
      child.kill('SIGTERM');
    }, 30_000);
    const status = await ended;
    clearTimeout(timer);
    if (status === 'SIGKILL') kills.count += 1;
    else if (status !== '0') tally.lost.push(`it ended with ${status}: ${output.stderr}`);
    if (Date.now() < end && tally.lost.length < 20) continue;
    return status === '0' ? (JSON.parse(output.stdout) as Record<string, number>) : {};
  }
};

const merged = (all: readonly Record<string, number>[]): Record<string, number> => {
  const sum: Record<string, number> = {};
  for (const each of all)
    for (const [code, count] of Object.entries(each)) sum[code] = (sum[code] ?? 0) + count;
  return sum;
};

/** Whose writes to each device came between those of one work. */
const contiguous = (log: string): {count: number; broken: string[]} => {
  const last = new Map<string, string>();
  const over = new Set<string>();
  const broken = new Set<string>();
  const works = new Set<string>();
  for (const line of log.trim().split('\n').filter(Boolean)) {
    const [address = '', work = ''] = line.split(' ');
    const before = last.get(address);
    works.add(work);
    if (before === work) continue;
    if (before !== undefined) over.add(`${address} ${before}`);
    if (over.has(line)) broken.add(line);
    last.set(address, work);
  }
  return {count: works.size, broken: [...broken]};
};
