/**
 * Does to kvfio, and to VMs that it works with, what is not to happen to them, and prints what became of it:
 *
 *     npm run chaos -- [--short] [--soak SECONDS] [--seed N] [--lanes N] [TRIAL...]
 *
 * Each trial runs in pid and mount namespaces of its own, so that whatever it leaves behind is seen. Ends with 1 when one
 * line of the table does not hold, and goes on after it.
 */
import {spawn} from 'node:child_process';
import {mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {availableParallelism, tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {plainTable} from './plain-table.js';
import type {TrialResult} from './one.js';
import type {Scale} from './trial.js';

const folder = fileURLToPath(new URL('.', import.meta.url));

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {
    short: {type: 'boolean', default: false},
    soak: {type: 'string'},
    seed: {type: 'string'},
    lanes: {type: 'string'},
  },
});
const scale: Scale = {
  short: values.short,
  soak: Number(values.soak ?? (values.short ? 60 : 3600)),
  seed: Number(values.seed ?? Math.floor(Math.random() * 2 ** 31)),
};

/** The longest first, so that the lanes end together. */
const NAMES = [
  'soak',
  'damaged-machines',
  'hostile-clients',
  'failing-calls',
  'kvfio-killed-at-requests',
  'kvfio-killed-at-random',
  'owner-killed-at-random',
  'owner-killed-at-requests',
  'few-descriptors',
  'two-on-one-vm',
  'two-on-one-group',
  'hostile-servers',
  'full-disk',
];
const SUPPORT = [
  'all',
  'one',
  'trial',
  'kvfio',
  'owners',
  'plain-table',
  'bind-program',
  'spare-descriptors',
];
const unlisted = readdirSync(folder)
  .map((name) => name.replace(/\.\w+$/, ''))
  .filter((name) => !NAMES.includes(name) && !SUPPORT.includes(name));
if (unlisted.length > 0) throw new Error(`all.ts does not know ${unlisted.join(', ')}`);
const unknown = positionals.filter((name) => !NAMES.includes(name));
if (unknown.length > 0) throw new Error(`there is no trial ${unknown.join(', ')}: ${NAMES.join(', ')}`);
const wanted = NAMES.filter((name) => positionals.length === 0 || positionals.includes(name));

/** Nobody else's processes and files are seen in there, and all of them end with its first process, which reaps. */
const ALONE = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
const PREPARE = `mount -t tmpfs tmpfs "$TMPDIR" && mkdir -p /run/kvfio && mount -t tmpfs tmpfs /run/kvfio || exit 70
"$@"
exit $?`;

/** Seconds that one trial may take. */
const LIMIT = scale.soak + (scale.short ? 240 : 3600);

const none = {rounds: 0, leaked: [], harmed: [], detail: '', seconds: 0};

const runTrial = async (name: string): Promise<TrialResult> => {
  const program = [process.execPath, '--import', 'tsx', `${folder}one.ts`, `${folder}${name}.ts`];
  const argv = ['sh', '-c', PREPARE, 'sh', ...program, JSON.stringify(scale)];
  const temporary = mkdtempSync(join(tmpdir(), 'kvfio-chaos-'));
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', ...ALONE, ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {...process.env, TMPDIR: temporary},
  });
  const output = {stdout: '', stderr: ''};
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].on('data', (chunk: Buffer) => (output[stream] += chunk.toString()));
  const limit = {passed: false};
  const timer = setTimeout(() => {
    limit.passed = true;
    child.kill('SIGKILL');
  }, LIMIT * 1000);
  const status = await new Promise<string>((resolve) => {
    child.once('error', (error) => {
      resolve(error.message);
    });
    child.once('close', (code, signal) => {
      resolve(String(signal ?? code));
    });
  });
  clearTimeout(timer);
  rmSync(temporary, {recursive: true, force: true});
  const said = output.stderr.trim();
  if (output.stdout === '' && /^(setpriv|unshare|mount): /m.test(said))
    return {
      ...none,
      lost: [],
      what: name,
      missing: `it needs namespaces of its own: ${said.split('\n')[0] ?? ''}`,
    };
  const result = lastOf(output.stdout, name);
  if (limit.passed) result.lost.push(`it did not end within ${LIMIT} s`);
  else if (status !== '0') result.lost.push(`the trial ended with ${status}: ${said}`);
  return result;
};

/** What a trial said last of itself: it may have been ended before it was through. */
const lastOf = (stdout: string, name: string): TrialResult => {
  const [last] = stdout
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .slice(-1);
  return last === undefined
    ? {...none, lost: [], what: name, missing: null}
    : (JSON.parse(last) as TrialResult);
};

const results = new Map<string, TrialResult>();
const waiting = [...wanted];
const lane = async (): Promise<void> => {
  for (let name; (name = waiting.shift()) !== undefined;) {
    console.error(`${new Date().toISOString().slice(11, 19)} begins: ${name}`);
    const result = await runTrial(name);
    results.set(name, result);
    console.error(`${new Date().toISOString().slice(11, 19)} ends: ${name}, ${verdictOf(result)}`);
  }
};

const verdictOf = ({missing, rounds, lost, leaked, harmed}: TrialResult): string => {
  if (missing !== null) return 'not run';
  return rounds > 0 && lost.length + leaked.length + harmed.length === 0 ? 'held' : 'MISSED';
};

await Promise.all(
  Array.from({length: Number(values.lanes ?? Math.min(2, availableParallelism()))}, () => lane()),
);

const lines = wanted.flatMap((name) => results.get(name) ?? []);
for (const [index, {lost, leaked, harmed}] of lines.entries()) {
  for (const [kind, found] of Object.entries({lost, leaked, harmed})) {
    for (const each of found.slice(0, 5)) console.log(`\n${wanted[index] ?? ''}, ${kind}: ${each}`);
    if (found.length > 5) console.log(`${found.length - 5} more`);
  }
}
console.log(`\n${scale.short ? 'short' : 'full'} form, seed ${scale.seed}\n`);
console.log(
  plainTable([
    ['what', 'rounds', 'lost', 'leaked', 'harmed', '', 's', 'detail'],
    ...lines.map((line) => [
      line.what,
      String(line.rounds),
      ...[line.lost, line.leaked, line.harmed].map((found) => String(found.length)),
      verdictOf(line),
      line.seconds.toFixed(0),
      line.missing ?? line.detail,
    ]),
  ]),
);
if (lines.some((line) => verdictOf(line) === 'MISSED')) process.exitCode = 1;
