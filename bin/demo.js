#!/usr/bin/env node
// npm run demo: kvfio's main job on a real kernel, in two guests of the lab: one with an IOMMU that lacks snoop control, one that has
// it. Where the lab cannot start, this host and a captured guest stand in for it.
const {spawnSync} = require('node:child_process');
const {join} = require('node:path');

const KVFIO = join(__dirname, 'run.js');
const STEPS = join(__dirname, 'demo-steps.js');
const CAPTURE = join(__dirname, '../test/fixtures/lab-intel.json');

/** Exit codes of a lab that cannot start on this host: it cannot be made here, needs rights, or a kernel to be found. */
const CANNOT_START = [8, 4, 3];

const kvfio = (...args) => spawnSync(process.execPath, [KVFIO, ...args], {stdio: 'inherit'}).status ?? 1;

const say = (text) => process.stdout.write(`\n== ${text}\n\n`);

const isRoot = process.getuid?.() === 0;

const lab = (iommu) =>
  kvfio('lab', '--iommu', iommu, ...(isRoot ? ['--install'] : []), '--', process.execPath, STEPS, iommu);

const standIn = () => {
  say('The lab cannot start here, for the reason above. This host:');
  const here = kvfio('groups');
  say('A captured lab guest whose IOMMU lacks snoop control:');
  return (
    here ||
    kvfio('groups', '--sysroot', CAPTURE) ||
    kvfio('groups', '--sysroot', CAPTURE, '--driver', 'vfio-pci', '--explain')
  );
};

process.stdout.write(
  `${
    isRoot
      ? 'Installs what is missing of qemu-system-x86, busybox-static and kmod. Downloads'
      : 'Needs qemu-system-x86, busybox-static and kmod. Downloads'
  } the kernel of the distribution to the cache folder of this user,\nunless it is there or the host's own can be booted, and does not install it.\n`,
);
say('A guest whose IOMMU cannot force No-Snoop DMA to be coherent (kvfio lab --iommu intel)');
const first = lab('intel');
if (CANNOT_START.includes(first)) process.exitCode = standIn();
else if (first !== 0) process.exitCode = first;
else {
  say('The same guest with an IOMMU that can (kvfio lab --iommu intel-snoop)');
  process.exitCode = lab('intel-snoop') === 0 ? 0 : 1;
}
