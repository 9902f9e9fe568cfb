import {runApt, which} from '../../src/lab/programs.js';
import {whyMissing} from '../support/needs.js';
import {mayInstall, missingPackages, type Program} from '../support/programs.js';

/** Programs without which no guest boots. */
const LAB: readonly Program[] = ['qemu-system-x86_64', 'busybox', 'modprobe'];

/** What the user is told before anything runs: where each part runs, and what is missing for it. */
export const planInWords = (kernel: string): string[] => {
  const why = whyMissing('kvm');
  const missing = missingPackages();
  const lab = missingPackages([...LAB]).length === 0 || mayInstall();
  const noLab = 'skipped: the lab cannot start without its packages';
  return [
    `tests that need KVM: ${why === undefined ? 'on this host' : `${lab ? `in a guest of the lab with Linux ${kernel}` : noLab} (here ${why})`}`,
    `tests that boot guests of their own: ${lab ? 'in the lab, whose kernels are downloaded to ~/.cache/kvfio and not installed' : noLab}`,
    'all other tests: on this host',
    ...(missing.length === 0
      ? []
      : mayInstall()
        ? [`installs first: ${missing.join(', ')}`]
        : [
            `not installed: ${missing.join(', ')}; what needs one of these packages is skipped`,
            `to install them, run "apt-get install --no-install-recommends ${missing.join(' ')}" as root, or "npm test -- --install"`,
          ]),
  ];
};

/** Installs what is missing, where that was asked for. */
export const installMissing = async (): Promise<void> => {
  const missing = missingPackages();
  const aptGet = which('apt-get', process.env['PATH'] ?? '');
  if (missing.length === 0 || aptGet === null || !mayInstall()) return;
  await runApt(aptGet, ['update', '-q'], undefined);
  // another apt may be at work
  const wait = ['-o', 'DPkg::Lock::Timeout=300'];
  await runApt(aptGet, [...wait, 'install', '-q', '-y', '--no-install-recommends', ...missing], undefined);
};
