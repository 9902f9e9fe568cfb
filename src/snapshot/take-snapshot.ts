import {CUT_FOR_DOCTOR} from '../doctor/cut-capture.js';
import {diagnose} from '../doctor/doctor.js';
import {machineOf} from '../doctor/machine.js';
import {emptyCapture, RecordingTree, type Capture} from '../host/capture.js';
import type {HostTree} from '../host/tree.js';
import {readRankFacts} from '../groups/ranking/rank-facts.js';
import {readHost, type Host} from '../iommu/host.js';
import {cutNames} from '../host/kernel-names.js';
import {cutKernelConfig} from '../host/kernel-config.js';
import {PROC_VERSION, relevantParameters} from '../iommu/kernel.js';
import {withoutBuilder} from '../host/kernel-release.js';
import {PCI_IDS_PLACES, PciIds} from '../pci/ids.js';
import {assess, assessUngrouped} from '../vfio/eligibility/assess.js';
import {examine} from '../vfio/eligibility/examined.js';
import {cutFramebuffers, IOMEM} from '../vfio/eligibility/framebuffers.js';
import {cutInterrupts, INTERRUPTS} from '../vfio/eligibility/interrupts.js';
import {cutAliases} from '../vfio/bind/driver-choice.js';
import {readForDryRun} from '../vfio/bind/read-for-dry-run.js';

/**
 * Captures everything that kvfio reads of a machine, by reading it all once and writing down the answers.
 *
 * Some files are cut down to what is read of them: pci.ids to the names that occur, cpuinfo to the processor's vendor and flags,
 * the kernel's configuration, command line, log and lists of modules to what is about IOMMU, VFIO, PCI and KVM, interrupts to the chip that decides,
 * iomem to framebuffers, the kernel's symbols to those that are looked for, and version to all but who built it with what, since the
 * rest may be private and captures are published.
 */
export const takeSnapshot = (
  tree: HostTree,
  kvfioVersion: string,
  root: boolean,
): {capture: Capture; host: Host} => {
  const recorder = new RecordingTree(tree, emptyCapture(kvfioVersion, root));
  // as it will be looked at elsewhere
  diagnose(null, machineOf(recorder, null));
  const host = readHost(recorder, {paths: true, regions: true});
  readForDryRun(recorder, host);
  readRankFacts(recorder, host);
  const examined = examine(recorder, host);
  for (const group of host.groups) assess(examined, group);
  for (const device of host.ungrouped) assessUngrouped(examined, device);
  const {texts, parts} = recorder.capture;
  if (parts[INTERRUPTS] !== undefined) parts[INTERRUPTS] = cutInterrupts(parts[INTERRUPTS]);
  if (texts[IOMEM] !== undefined) texts[IOMEM] = cutFramebuffers(texts[IOMEM]);
  for (const [path, text] of Object.entries(texts)) texts[path] = cutAliases(path, text) ?? text;
  const commandLine = texts[COMMAND_LINE];
  if (commandLine !== undefined)
    texts[COMMAND_LINE] = `${[...loaderMarks(commandLine), ...relevantParameters(commandLine)].join(' ')}\n`;
  const version = texts[PROC_VERSION];
  if (version !== undefined) texts[PROC_VERSION] = withoutBuilder(version);
  cutNames(recorder.capture);
  cutKernelConfig(recorder.capture, host.kernel.release);
  cutProcessorInfo(recorder.capture);
  for (const cut of CUT_FOR_DOCTOR) cut(recorder.capture);
  const devices = [...host.groups.flatMap((group) => group.devices), ...host.ungrouped];
  for (const place of PCI_IDS_PLACES) {
    const text = texts[place];
    if (text === undefined) continue;
    texts[place] = new PciIds(Buffer.from(text)).excerpt(
      devices.flatMap(({vendorId, deviceId}) =>
        vendorId === null || deviceId === null ? [] : [{vendorId, deviceId}],
      ),
      devices.flatMap(({classCode}) => (classCode === null ? [] : [classCode])),
    );
  }
  return {capture: recorder.capture, host};
};

const COMMAND_LINE = '/proc/cmdline';

/** What a boot loader, or OSTree, adds to the command line, without what it loaded (doctor/distribution.ts). */
const loaderMarks = (commandLine: string): string[] =>
  commandLine.match(/(?<=^|\s)(?:BOOT_IMAGE=|initrd=\\|ostree=)/g) ?? [];

/** Leaves only the flags of /proc/cpuinfo, which has the board's serial number on some machines. */
const cutProcessorInfo = ({parts}: Capture): void => {
  const info = parts[PROCESSOR_INFO]?.['0'];
  if (info === undefined) return;
  const text = Buffer.from(info, 'hex').toString('latin1');
  const kept = text.match(/^(?:vendor_id|flags)\s*:.*$/gm) ?? [];
  const first = kept.filter((line, at) => kept.findIndex((each) => each[0] === line[0]) === at);
  parts[PROCESSOR_INFO] = {0: Buffer.from(`${first.join('\n')}\n`, 'latin1').toString('hex')};
};

const PROCESSOR_INFO = '/proc/cpuinfo';
