import type {Capture} from '../host/capture.js';
import {cutKernelLog} from '../host/kernel-log.js';
import {cutGrub} from './grub.js';
import {isTelling} from './log-lines.js';

/** Keeps of the lines of captured files those that matter here. */
const lines =
  (files: RegExp, kept: RegExp) =>
  ({texts}: Capture): void => {
    for (const [path, text] of Object.entries(texts)) {
      if (files.test(path))
        texts[path] = text
          .split('\n')
          .filter((line) => kept.test(line))
          .map((line) => `${line}\n`)
          .join('');
    }
  };

/** Files of modprobe.d that say nothing of KVM or VFIO are not there; their names are the user's own. */
const settingsOfModprobe = ({texts, directories}: Capture): void => {
  for (const [folder, names] of Object.entries(directories)) {
    if (!folder.endsWith('/modprobe.d')) continue;
    directories[folder] = names.filter((name) => texts[`${folder}/${name}`]);
    for (const name of names) {
      // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- the keys are paths
      if (texts[`${folder}/${name}`] === '') delete texts[`${folder}/${name}`];
    }
  }
};

const modulesThatRun = ({directories}: Capture): void => {
  const names = directories['/sys/module'];
  if (names !== undefined) directories['/sys/module'] = names.filter((name) => /^(?:kvm|vfio)/.test(name));
};

/** What is to be done with a capture of what doctor read before others see it, in this order. */
export const CUT_FOR_DOCTOR: readonly ((capture: Capture) => void)[] = [
  lines(/^\/(?:etc|usr\/lib)\/os-release$/, /^(?:ID|ID_LIKE|PRETTY_NAME)=/),
  lines(/^\/proc\/(?:misc|devices)$/, /\b(?:kvm|vfio)/),
  lines(/^\/proc\/modules$/, /^(?:kvm|vfio)/),
  lines(/\/modules\.(?:dep|builtin)$/, /\/(?:kvm|vfio)[\w-]*\.ko/),
  lines(/\/modprobe\.d\//, /^\s*(?:install|blacklist)\s+(?:kvm|vfio)/),
  settingsOfModprobe,
  modulesThatRun,
  cutGrub,
  (capture) => {
    cutKernelLog(capture, isTelling);
  },
];
