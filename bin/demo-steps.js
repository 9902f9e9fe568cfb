// demo-steps.js intel|intel-snoop: the part of the demo that runs in a guest. It ends with 1 at the first step that does not show what
// it claims.
const {spawn, spawnSync} = require('node:child_process');

const SOCKET = '/run/demo.sock';

const run = (line, stdio = 'pipe') => spawnSync('sh', ['-c', line], {encoding: 'utf8', stdio});

const print = (text) => process.stdout.write(`${text}\n`);

const giveUp = (why) => {
  print(`FAILED: ${why}`);
  stop();
  process.exit(1);
};

/**
 * Runs a command and prints it, of its output the lines that matter, and what is seen in them.
 *
 * @param expect patterns that the output has to match
 * @param show picks the lines to print; absent, all
 */
const step = (line, {expect, show = (lines) => lines, seen}) => {
  print(`$ ${line}`);
  const {status, stdout, stderr} = run(line);
  const missing = expect.find((pattern) => !pattern.test(stdout));
  if (status !== 0 || missing !== undefined) {
    print(stdout + stderr);
    giveUp(status !== 0 ? `exit code ${status}` : `the output does not match ${missing}`);
  }
  const lines = stdout.trimEnd().split('\n');
  const shown = show(lines);
  print([...shown, ...(shown.length < lines.length ? ['...'] : [])].join('\n'));
  print(`=> ${seen}\n`);
};

const matching = (pattern) => (lines) => lines.filter((text) => pattern.test(text));

/** Lines that match, each with the indented ones in which it goes on. */
const facts = (pattern) => (lines) =>
  lines
    .join('\n')
    .split(/\n(?! )/)
    .filter((text) => pattern.test(text));

/** What was found in words, then the lines that match. */
const wordsAnd = (pattern) => (lines) => [
  ...lines.slice(0, lines.indexOf('')),
  '',
  ...matching(pattern)(lines),
];

const background = [];

/** Starts a program that the steps work on, and ends the demo when it ends by itself. */
const start = (line) => {
  print(`$ ${line} &`);
  const [program, ...args] = line.split(' ');
  const child = spawn(program, args, {stdio: ['ignore', 'ignore', 'inherit']});
  child.on('error', (error) => giveUp(`${program}: ${error.message}`));
  background.push(child);
  return child.pid;
};

const stop = () => {
  for (const child of background.splice(0)) child.kill('SIGTERM');
};

const groupOf = (driver, port) => {
  const device = run(`basename /sys/bus/pci/devices/0000:00:${port}.0/????:??:??.?`).stdout.trim();
  const group = run(
    `kvfio groups --device ${device} --driver ${driver} --columns group --no-header`,
  ).stdout.trim();
  if (!/^\d+$/.test(group)) giveUp(`${device} has no group and driver ${driver}`);
  return group;
};

const COHERENT = /^now: coherent: WBINVD is skipped$/m;
const NON_COHERENT = /^now: non-coherent: WBINVD is executed/m;

/** Times and their distribution, for the three phases of one VM. */
const probe = (group) =>
  step(`kvfio probe --group ${group} --allow-host-flush --samples 100 --spread 0`, {
    expect: [
      /^WBINVD before the groups +ns/m,
      /^WBINVD with the groups +ns/m,
      /^WBINVD after the groups +ns/m,
      /^ *\d.* #+ /m,
    ],
    show: wordsAnd(/^(?:WHAT|WBINVD [^:]*$)|^ *\d.* #+ /),
    seen: 'WBINVD is timed in one VM before, with and after the group; the group is free again',
  });

const withoutSnoopControl = () => {
  const [ready, native] = [groupOf('vfio-pci', '05'), groupOf('e1000e', '03')];

  step('kvfio doctor --for passthrough', {
    expect: [/^No check that passthrough needs fails\.$/m],
    show: facts(/^(?:pass|note) .*(?:KVM|IOMMU|interrupts)|^No /),
    seen: 'KVM, VFIO and the IOMMU are ready, and this IOMMU cannot force coherency',
  });
  step('kvfio groups', {
    expect: [/not-enforced/],
    show: matching(new RegExp(`^(?:GROUP|${ready} |${native} )`)),
    seen: 'no device is behind snoop control; one has vfio-pci, the other its native driver',
  });
  step(`kvfio groups --group ${ready} --explain`, {
    expect: [/bit 7, SC\s+\(Snoop\s+Control\),\s+is\s+clear/],
    seen: 'the register of the unit decides, and it is named',
  });
  step(`kvfio bind --group ${native}`, {
    expect: [/: e1000e -> vfio-pci$/m],
    seen: `all of group ${native} has vfio-pci`,
  });

  start(`kvfio vm --sock ${SOCKET}`);
  const qemu = start('qemu-system-x86_64 -accel kvm -m 64 -nodefaults -display none');
  step(`kvfio status --vm-sock ${SOCKET} --wait --timeout 60 --verify`, {
    expect: [COHERENT],
    seen: 'without a group the VM is coherent',
  });
  step(`kvfio attach --vm-sock ${SOCKET} --group ${ready}`, {
    expect: [/by agent$/m, NON_COHERENT],
    seen: 'the VMM that speaks the protocol of kvfio made the calls, and the VM is no longer coherent',
  });
  step(`kvfio status --vm-sock ${SOCKET} --verify`, {
    expect: [/: registered/, NON_COHERENT],
    seen: 'KVM itself says that the group is registered',
  });
  step(`kvfio attach --pid ${qemu} --wait --timeout 60 --group ${native}`, {
    expect: [/by inject/, NON_COHERENT],
    seen: 'QEMU, unmodified, was made to make the same calls, and runs on',
  });
  step(`kvfio status --pid ${qemu} --verify`, {
    expect: [/: registered/, NON_COHERENT],
    seen: 'KVM has the group of QEMU, too',
  });
  step(`kvfio detach --pid ${qemu} --group ${native}`, {expect: [COHERENT], seen: 'QEMU is coherent again'});
  step(`kvfio detach --vm-sock ${SOCKET} --group ${ready}`, {
    expect: [COHERENT],
    seen: 'the other VM as well',
  });
  stop();
  probe(ready);
  step(`kvfio unbind --group ${native}`, {
    expect: [/: vfio-pci -> e1000e$/m],
    seen: `group ${native} has its native driver back`,
  });
};

const withSnoopControl = () => {
  const ready = groupOf('vfio-pci', '05');
  step('kvfio groups --driver vfio-pci', {
    expect: [/ enforced/],
    seen: 'the unit has snoop control',
  });
  start(`kvfio vm --sock ${SOCKET}`);
  step(`kvfio attach --vm-sock ${SOCKET} --wait --timeout 60 --group ${ready}`, {
    expect: [COHERENT],
    seen: 'the VM stays coherent with the same device',
  });
  step(`kvfio status --vm-sock ${SOCKET} --verify`, {
    expect: [/: registered/, COHERENT],
    seen: 'the group is registered, and WBINVD is skipped',
  });
  step(`kvfio detach --vm-sock ${SOCKET} --group ${ready}`, {
    expect: [COHERENT],
    seen: 'the group is free again',
  });
  stop();
  probe(ready);
};

const [iommu] = process.argv.slice(2);
if (iommu === 'intel') withoutSnoopControl();
else withSnoopControl();
