// Runs in the lab's guest: changes drivers for real, and leaves what it saw in a file.
//   node bind-program.js OUT      all of it
//   node bind-program.js cut N    binds two devices, and is killed after the N-th change
import {execFileSync, spawn, spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import {SyscallError} from '../../dist/linux/errno.js';
import {bindDevices} from '../../dist/vfio/bind/bind.js';
import {recoverDevices} from '../../dist/vfio/bind/recover.js';
import {hostSetting} from '../../dist/vfio/bind/setting.js';
import {unbindDevices} from '../../dist/vfio/bind/unbind.js';

const [, program, out, number] = process.argv;

const PCI = '/sys/bus/pci/devices';
const nic = '0000:01:00.0';
const disk = '0000:00:02.0';
const given = '0000:07:00.0';
const nobody = {uid: 65534, name: 'nobody'};

const groupOf = (address) => Number(readlinkSync(`${PCI}/${address}/iommu_group`).split('/').at(-1));
const switched = groupOf('0000:04:00.0');
const devices = (...addresses) => ({groups: [], devices: addresses});
const group = {groups: [switched], devices: []};
/** Of two groups and two drivers, which under emulation come back faster than those behind the switch. */
const pair = devices(nic, disk);

const plain = {dryRun: false, force: [], timeout: 60, owner: null, onNote: () => undefined};
/** Writes from this process: one of its own for each write takes its time under emulation. */
const directWriter = {
  write: async (path, text) => {
    try {
      const fd = openSync(path, constants.O_WRONLY);
      try {
        writeSync(fd, text);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      throw error.errno === undefined ? error : new SyscallError('write', -error.errno, path);
    }
  },
};
const direct = {...plain, setting: {...hostSetting(), writer: () => directWriter}};

/** Driver and override of every device, and whose VFIO's nodes are. */
const state = () => ({
  ...Object.fromEntries(
    readdirSync(PCI).map((address) => {
      const driver = `${PCI}/${address}/driver`;
      return [
        address,
        [
          existsSync(driver) ? readlinkSync(driver).split('/').at(-1) : null,
          readFileSync(`${PCI}/${address}/driver_override`, 'utf8').trim(),
        ],
      ];
    }),
  ),
  nodes: execFileSync('stat', [
    '-c',
    '%n %u %a',
    ...readdirSync('/dev/vfio').map((name) => `/dev/vfio/${name}`),
  ])
    .toString()
    .trim()
    .split('\n'),
});

const journals = () => readdirSync('/run/kvfio/bind').filter((name) => name.endsWith('.json'));

/** What others say of the drivers. */
const witnesses = () => ({
  driverctl: spawnSync('driverctl', ['list-devices']).stdout?.toString() ?? null,
  lspci: execFileSync('lspci', ['-Dvmmnnk']).toString(),
});

const attempt = async (work) => {
  try {
    return {document: await work()};
  } catch (error) {
    if (error.exitCode === undefined) throw error;
    const {code, what, why, hint, errno, exitCode} = error;
    return {failure: {code, what, why, hint, errno, exitCode}};
  }
};

const cut = async () => {
  let changes = 0;
  const observe = () => {
    if (++changes === Number(number)) process.kill(process.pid, 'SIGKILL');
  };
  await bindDevices(pair, {...direct, owner: nobody, setting: {...direct.setting, observe}});
};

/** Opens a device as a VMM does, and keeps it. */
const HOLD = `
open(C, "+<", "/dev/vfio/vfio") or die; open(G, "+<", "/dev/vfio/$ARGV[0]") or die "group: $!";
my $container = pack("i", fileno(C));
ioctl(G, 0x3b68, $container) or die "VFIO_GROUP_SET_CONTAINER: $!";
ioctl(C, 0x3b66, 3) or die "VFIO_SET_IOMMU: $!";
if ($ARGV[1]) { my $name = "$ARGV[1]\\0"; ioctl(G, 0x3b6a, $name) or die "VFIO_GROUP_GET_DEVICE_FD: $!"; }
$| = 1; print "up\\n"; sleep 10000;
`;

const hold = async (id, address) => {
  const child = spawn('perl', ['-e', HOLD, String(id), ...(address === undefined ? [] : [address])], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(() => ['ended'])]);
  if (said.toString() !== 'up\n') throw new Error('the group cannot be held');
  return child;
};

const end = async (child) => {
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
};

const seen = {};
const save = () => {
  writeFileSync(`${out}/seen.json`, JSON.stringify(seen, null, 1));
};

const guards = async () => {
  seen.mounted = await attempt(() => bindDevices(devices(disk), plain));
  seen.address = await attempt(() => bindDevices(devices(nic, disk), {...plain, force: ['mounted']}));
};

const singles = async () => {
  seen.before = state();
  seen.single = await attempt(() => bindDevices(devices(nic, disk), {...plain, owner: nobody}));
  seen.singleBound = state();
  seen.singleBack = await attempt(() => unbindDevices(devices(nic, disk), plain));
  seen.singleAfter = state();
};

const wholeGroup = async () => {
  seen.predicted = await attempt(() => bindDevices(group, {...plain, dryRun: true, owner: nobody}));
  seen.group = await attempt(() => bindDevices(group, {...direct, owner: nobody}));
  seen.groupBound = {...state(), ...witnesses()};
  // nobody else may do DMA in a group that VFIO has handed out, so its drivers do not come back
  const holder = await hold(switched);
  seen.held = await attempt(() => unbindDevices(group, direct));
  seen.rolledBack = await attempt(() => unbindDevices(group, {...direct, force: ['held']}));
  seen.rolledBackState = state();
  await end(holder);
  seen.groupBack = await attempt(() => unbindDevices(group, direct));
  seen.groupAfter = {...state(), ...witnesses()};
  seen.journals = journals();
};

const stuck = async () => {
  const holder = await hold(groupOf(given), given);
  seen.stuck = await attempt(() =>
    unbindDevices(devices(given), {...plain, force: ['held', 'foreign'], timeout: 3}),
  );
  seen.meanwhile = await attempt(() =>
    unbindDevices(devices(given), {...plain, force: ['held', 'foreign'], timeout: 1}),
  );
  await end(holder);
  seen.recovered = await attempt(() => recoverDevices(plain));
  seen.recoveredState = state();
};

const cuts = async () => {
  seen.cuts = [];
  for (let change = 1; ; change++) {
    const {signal, status} = spawnSync(process.execPath, [program, 'cut', String(change)], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    if (signal === null) {
      seen.uncut = status;
      break;
    }
    const left = state();
    const open = journals().filter((name) =>
      readFileSync(`/run/kvfio/bind/${name}`, 'utf8').includes('"open"'),
    );
    const recovered = await attempt(() => recoverDevices(direct));
    seen.cuts.push({change, left, open: open.length, recovered, state: state()});
    // the last change ends the transaction: what it bound is bound
    if (open.length === 0) await unbindDevices(pair, direct);
  }
  await unbindDevices(pair, direct);
  seen.atLast = state();
};

if (out === 'cut') await cut();
else {
  for (const part of [guards, singles, wholeGroup, stuck, cuts]) {
    if (part === singles) {
      execFileSync('umount', ['/dev/nvme0n1']);
      execFileSync('ip', ['address', 'flush', 'dev', 'eth0']);
    }
    const began = performance.now();
    await part();
    seen[`${part.name}Seconds`] = (performance.now() - began) / 1000;
    save();
  }
}
