/**
 * Runs in the lab: puts the guest into one bad state after the other, does what doctor prints against it, and has doctor look again.
 * With the argument `all` these are all that it knows, else the one it is booted in; a second one is a pattern for the checks that
 * are to be cured. Prints a list of {@link Cured} as JSON.
 */
import {spawnSync} from 'node:child_process';
import type {CheckResult, DoctorDocument} from '../../src/doctor/doctor.js';
import {treatmentOf, type Cured} from './cures.js';

interface State {
  name: string;
  /** For root's shell; a state that this guest cannot be put into fails, and is left out by `unless`. */
  make: string;
  /** A command that succeeds where there is no such state. */
  unless?: string;
  /** Puts right what no cure is about. */
  after?: string;
  user?: 'nobody';
}

const STATES: readonly State[] = [
  {name: 'as it is booted', make: ':'},
  {
    name: 'a user without rights',
    make: 'chown root:root /dev/kvm; chmod 600 /dev/kvm; echo 1 > /proc/sys/kernel/yama/ptrace_scope',
    unless: '! test -e /dev/kvm || ! test -e /proc/sys/kernel/yama/ptrace_scope',
    user: 'nobody',
  },
  {
    name: 'no tracefs',
    make: 'umount /sys/kernel/tracing /sys/kernel/debug/tracing /sys/kernel/debug 2>&-; :',
  },
  {name: 'no node of KVM', make: 'rm /dev/kvm', unless: '! test -e /dev/kvm'},
  ...['', 'blacklist kvm_amd', 'install kvm-amd /bin/false'].map((line) => ({
    name: `no module of KVM${line === '' ? '' : `, and "${line}"`}`,
    make: `${line === '' ? ':' : `echo '${line}' > /etc/modprobe.d/lab.conf`}; rmmod kvm_amd`,
    unless: '! grep -q ^kvm_amd /proc/modules',
  })),
  {
    name: 'no modules',
    make: 'rmmod kvm_amd; mount -t tmpfs tmpfs /lib/modules',
    unless: '! grep -q ^kvm_amd /proc/modules || ! test -e /lib/modules/$(uname -r)',
    after: 'modprobe kvm_amd',
  },
  {
    name: 'a group without an IOMMU',
    make: 'echo Y > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode; kvfio bind --device 0000:03:00.0',
    unless:
      'ls /sys/kernel/iommu_groups/* || ! test -e /sys/bus/pci/devices/0000:03:00.0 || ! test -e /sys/module/vfio/parameters/enable_unsafe_noiommu_mode',
  },
  {
    name: 'no way to load modules',
    make: 'rmmod kvm_amd; echo 1 > /proc/sys/kernel/modules_disabled',
    unless: '! grep -q ^kvm_amd /proc/modules',
  },
];

/** How often a cure may be followed by another one. */
const ROUNDS = 4;

const shell = (script: string): {status: number | null; output: string} => {
  const {status, stdout, stderr} = spawnSync('/bin/sh', ['-c', script], {encoding: 'utf8'});
  return {status, output: `${stdout}${stderr}`};
};

const doctor = (user: State['user'], memlock: string): DoctorDocument => {
  const as =
    user === undefined
      ? []
      : [
          ...['prlimit', `--memlock=${memlock}`, 'setpriv', '--reuid', user, '--regid', 'nogroup'],
          ...['--init-groups', '--inh-caps=-all', '--bounding-set=-all'],
        ];
  const argv = [...as, 'kvfio', 'doctor', '--json'];
  const {stdout, stderr} = spawnSync('env', argv, {encoding: 'utf8'});
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as DoctorDocument;
};

const CURED = new RegExp(process.argv[3] ?? '');

const failing = ({checks}: DoctorDocument): CheckResult[] =>
  checks.filter(({id, state}) => state === 'fail' && CURED.test(id));

const treat = ({name, user}: State): Cured[] => {
  const cured = new Map<string, Cured>();
  let memlock = '65536';
  for (let round = 0; round < ROUNDS; round++) {
    const before = failing(doctor(user, memlock));
    let changed = false;
    for (const {id, remedy} of before) {
      const entry = cured.get(id) ?? {state: name, check: id, remedies: [], treatment: 'run', after: 'fail'};
      cured.set(id, entry);
      if (entry.remedies.includes(remedy ?? '')) continue;
      entry.remedies.push(remedy ?? '');
      const treatment = treatmentOf(id, remedy ?? '');
      entry.treatment = treatment.kind;
      if (treatment.kind === 'limit') memlock = 'unlimited';
      if (treatment.kind === 'run')
        for (const command of treatment.commands) {
          const {status, output} = shell(command.replace('YOUR-NAME', user ?? ''));
          if (status !== 0) throw new Error(`${name}: ${id}: ${command}: ${output}`);
        }
      changed ||= treatment.kind === 'limit' || treatment.kind === 'run';
    }
    if (!changed) break;
  }
  const now = doctor(user, memlock);
  const asRoot = user === undefined ? now : doctor(undefined, memlock);
  for (const entry of cured.values())
    entry.after =
      (entry.treatment === 'root' ? asRoot : now).checks.find(({id}) => id === entry.check)?.state ??
      // a check of something that is no longer there
      'pass';
  return [...cured.values()];
};

const report: Cured[] = [];
// what is written to /etc stays in the guest
const prepared = shell(
  'mkdir -p /run/etc/upper /run/etc/work && mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work overlay /etc && mkdir -p /etc/modprobe.d /etc/modules-load.d && { grep -q ^kvm: /etc/group || echo kvm:x:978: >> /etc/group; }; for each in /sys/module/*/parameters/allow_unsafe_interrupts; do [ ! -e "$each" ] || echo N > "$each"; done',
);
if (prepared.status !== 0) throw new Error(prepared.output);
// the first is how it is booted; an emulated guest takes minutes for all of them
for (const state of process.argv[2] === 'all' ? STATES : STATES.slice(0, 1)) {
  if (state.unless !== undefined && shell(state.unless).status === 0) continue;
  const made = shell(state.make);
  if (made.status !== 0) throw new Error(`${state.name}: ${made.output}`);
  report.push(...treat(state));
  if (state.after !== undefined) shell(state.after);
}
console.log(JSON.stringify(report));
