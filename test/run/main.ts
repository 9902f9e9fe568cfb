// npm test: runs the tests, each where what it needs is there, and prints a line a file.
import {spawnSync} from 'node:child_process';
import {appendFileSync, readdirSync} from 'node:fs';
import {availableParallelism} from 'node:os';
import {join, relative, resolve} from 'node:path';
import {parseArgs} from 'node:util';
import {isBuilt, PROJECT} from '../support/run.js';
import type {FileResult} from './conversation.js';
import {GuestWorkers} from './guest-workers.js';
import {HostWorker} from './host-worker.js';
import {memoryFolder} from './memory-folder.js';
import {installMissing, planInWords} from './plan.js';
import type {TestResult} from './protocol.js';
import {Report} from './report.js';

const HELP = `npm test -- [FLAGS] [FILE|FOLDER...]

  --unit           only what needs neither KVM, nor root, nor a build, nor the lab, nor long (npm run test:unit)
  --install        as root, install the packages that tests need
  --kvm=lab        run what needs KVM in the lab although this host has KVM
  --kernel=KERNEL  the kernel of that guest, as kvfio lab takes it; default 6.1
  --each           print a line for each test, too
  --quiet          print only failures, skipped tests and counts
  --counts=FILE    append "PASSED FAILED SKIPPED" and what failed to a file`;

const {values: flags, positionals} = parseArgs({
  allowPositionals: true,
  options: {
    unit: {type: 'boolean', default: false},
    install: {type: 'boolean', default: false},
    kvm: {type: 'string', default: 'auto'},
    kernel: {type: 'string', default: '6.1'},
    each: {type: 'boolean', default: false},
    quiet: {type: 'boolean', default: false},
    counts: {type: 'string'},
    help: {type: 'boolean', default: false},
  },
});

const print = (line: string): void => void process.stdout.write(`${line}\n`);

/** Files of tests, relative to the project, in the order of their names. */
const filesOf = (paths: readonly string[]): string[] =>
  paths.flatMap((path) => {
    const whole = resolve(path);
    if (path.endsWith('.ts')) return [relative(PROJECT, whole)];
    return readdirSync(whole, {recursive: true, encoding: 'utf8'})
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => relative(PROJECT, join(whole, name)))
      .sort();
  });

/** Runs files in a worker of its own, one after the other. Lanes that share files take each from the front. */
const lane = async (
  files: string[],
  env: Record<string, string>,
  add: (result: FileResult) => void,
): Promise<void> => {
  const worker = new HostWorker(env);
  for (let file; (file = files.shift()) !== undefined;) add(await worker.run({file}));
  await worker.close();
};

/** How much of what is tried at random `npm run test:unit` tries. */
const UNIT_SCALE = '0.25';

/** Variables that have tests make their files in memory, where there is room. */
const inMemory = (): Record<string, string> => {
  const folder = memoryFolder();
  return folder === undefined ? {} : {TMPDIR: folder};
};

/** Tests of these look at what other processes of this machine have open, and so run one after the other. */
const LOOK_AROUND = /^test\/(?:vfio|kvm-vfio|demo-vm|owner|vm|kvm|host|linux|commands)\//;

/** Of these folders, the longest that do not. */
const LOOK_AT_NOBODY = /\/(?:agent-fuzz|agent-limits|diff|groups|snapshot)\.test\.ts$/;

const runUnitTests = async (files: string[], report: Report): Promise<void> => {
  let left = 0;
  const add = (result: FileResult): void => {
    const tests = result.tests.filter(({lacks}) => lacks === undefined);
    left += result.tests.length - tests.length;
    report.add({...result, tests});
  };
  const env = {KVFIO_TEST_UNIT: '1', KVFIO_TEST_SCALE: UNIT_SCALE, ...inMemory()};
  const looksAround = (file: string): boolean => LOOK_AROUND.test(file) && !LOOK_AT_NOBODY.test(file);
  const others = files.filter((file) => !looksAround(file));
  // many tests wait for time limits, so that two of these lanes and the third use two CPUs
  await Promise.all([
    lane(files.filter(looksAround), env, add),
    lane(others, env, add),
    lane(others, env, add),
  ]);
  print(`${left} tests are left to "npm test": they need KVM, root, a build, the lab or more time`);
};

const runAllTests = async (files: string[], report: Report): Promise<void> => {
  const guests = new GuestWorkers({count: availableParallelism(), kernel: flags.kernel, files});
  const inGuest: Promise<void>[] = [];
  const add = (result: FileResult): void => {
    const lacking = result.tests.filter(({lacks}) => lacks !== undefined);
    const titles = lacking.map(({title}) => title);
    report.add({...result, tests: result.tests.filter(({lacks}) => lacks === undefined)});
    if (lacking.length === 0) return;
    const there = guests.run({file: result.file, titles}).then(({found, whyNone}) => {
      report.add(whyNone === undefined ? found : nowhere(found, lacking, whyNone));
    });
    inGuest.push(there);
  };
  const env = {KVFIO_TEST_BUILT: '1', ...(flags.kvm === 'lab' ? {KVFIO_TEST_KVM: 'lab'} : {})};
  const isOfLab = (file: string): boolean => file.startsWith('test/lab/');
  const inLab = files.filter(isOfLab);
  const onHost = files.filter((file) => !isOfLab(file));
  // a guest takes one CPU, and many tests on the host wait for time limits rather than work
  await Promise.all([
    lane(onHost, {...env, ...inMemory()}, add),
    ...Array.from({length: availableParallelism()}, () => lane(inLab, env, add)),
  ]);
  await Promise.all(inGuest);
  await guests.close();
};

/** What had neither here nor in the lab what it needs. In continuous integration that may not be. */
const nowhere = ({file}: FileResult, lacking: readonly TestResult[], whyNoLab: string): FileResult => ({
  file,
  place: '',
  seconds: 0,
  noise: '',
  tests: lacking.map(({title, why}) => ({
    title,
    state: process.env['CI'] === undefined ? 'skipped' : 'failed',
    why: `${why ?? ''}, and not in the lab either: ${whyNoLab}`,
  })),
});

const main = async (): Promise<void> => {
  if (flags.help) {
    print(HELP);
    return;
  }
  if (flags.install) process.env['KVFIO_TEST_INSTALL'] = '1';
  const files = filesOf(positionals.length === 0 ? [join(PROJECT, 'test')] : positionals);
  const report = new Report(print, flags.quiet ? 'failures' : flags.each ? 'each' : 'file');
  if (flags.unit) await runUnitTests(files, report);
  else {
    for (const line of planInWords(flags.kernel)) print(line);
    await installMissing();
    if (!isBuilt(PROJECT)) {
      const {status} = spawnSync('npm', ['run', 'build', '--silent'], {cwd: PROJECT, stdio: 'inherit'});
      if (status !== 0) throw new Error('kvfio could not be built');
    }
    await runAllTests(files, report);
  }
  report.close();
  const {passed, failed, skipped} = report.counts;
  if (flags.counts !== undefined) {
    const failures = report.failures.map(
      (failure) => `failed: ${failure.trimEnd().replaceAll('\n', '\n    ')}\n`,
    );
    appendFileSync(flags.counts, `${passed} ${failed} ${skipped}\n${failures.join('')}`);
  }
  if (failed > 0 || passed === 0) process.exitCode = 1;
};

await main();
