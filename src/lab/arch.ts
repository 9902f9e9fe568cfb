import {Failure} from '../failure.js';
import {chooseAccelerator, type AcceleratorChoice, type LabAccelerator} from './accelerator.js';
import type {LabIommu} from './iommu-choice.js';

/** Architectures of guests, as Debian names them. */
export const LAB_ARCHES = ['amd64', 'arm64'] as const;

export type LabArch = (typeof LAB_ARCHES)[number];

export interface ArchParts {
  /** QEMU's program. */
  qemu: 'qemu-system-x86_64' | 'qemu-system-aarch64';
  /** IOMMUs that its machine can have; the first is the usual one. */
  iommus: readonly LabIommu[];
  /** Device nodes of the guest's serial ports (qemu.ts). */
  ports: {console: string; control: string; terminal: string};
}

const ARCHES: Record<LabArch, ArchParts> = {
  amd64: {
    qemu: 'qemu-system-x86_64',
    iommus: ['intel', 'intel-snoop', 'amd', 'virtio', 'none'],
    ports: {console: 'ttyS0', control: 'ttyS1', terminal: 'ttyS2'},
  },
  arm64: {
    qemu: 'qemu-system-aarch64',
    iommus: ['smmuv3', 'none'],
    ports: {console: 'ttyAMA0', control: 'ttyS0', terminal: 'ttyS1'},
  },
};

export const archParts = (arch: LabArch): ArchParts => ARCHES[arch];

/**
 * The accelerator that executes a guest; one of another architecture than the host's runs in QEMU's emulation only.
 *
 * @throws Failure when KVM is wished for such a guest
 */
export const acceleratorOf = (arch: LabArch, choice: AcceleratorChoice): LabAccelerator => {
  if (arch === 'amd64') return chooseAccelerator(choice);
  if (choice !== 'kvm') return 'tcg';
  throw new Failure({
    code: 'LAB_NO_KVM',
    kind: 'usage',
    what: `KVM cannot execute a guest of the architecture ${arch}.`,
    why: 'It executes the instructions of the host, which is an x86-64 one.',
    hint: 'Leave --accel out: QEMU then emulates the processor.',
  });
};

/**
 * The IOMMU of a guest: the one that is wished, or the usual one.
 *
 * @throws Failure when QEMU's machine of that architecture has no such IOMMU
 */
export const iommuOf = (arch: LabArch, wished: LabIommu | undefined): LabIommu => {
  const {iommus} = ARCHES[arch];
  const iommu = wished ?? iommus[0] ?? 'none';
  if (iommus.includes(iommu)) return iommu;
  throw new Failure({
    code: 'LAB_IOMMU',
    kind: 'usage',
    what: `A guest of the architecture ${arch} cannot have the IOMMU "${iommu}".`,
    why: `QEMU's machine for it has ${iommus.join(', ')}.`,
    hint: 'Choose one of these with --iommu, or leave it out.',
  });
};
