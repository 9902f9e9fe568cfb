import {readXenRole} from '../host/xen.js';
import {cpuFlags, cpuVendor, readHypervisor} from './hypervisor.js';
import {logLines} from './log-lines.js';
import {machineNames, type Machine} from './machine.js';
import {howToLoad, isBuiltIn, isLoaded, type Module, type ModuleObstacle} from './modules.js';

/** Why the kernel runs no KVM: the first cause that explains it. */
export const whyNoKvm = (machine: Machine): ModuleObstacle => {
  for (const look of CAUSES) {
    const cause = look(machine);
    if (cause !== null) return cause;
  }
  const module = vendorModule(machine);
  return module === null
    ? {seen: 'the kernel has no device "kvm"', remedy: machine.distribution.otherKernel('CONFIG_KVM')}
    : howToLoad(machine, module);
};

/** Without VMX or SVM: the reason, and who can change it. */
export const noVirtualization = (machine: Machine): ModuleObstacle | null => {
  const flags = cpuFlags(machine);
  if (flags === null || virtualizationFlag(machine) !== null) return null;
  const dom0 = inDom0(machine);
  if (dom0 !== null) return dom0;
  const seen = 'the processor shows neither vmx nor svm';
  const hypervisor = readHypervisor(machine);
  if (hypervisor !== null) {
    const {name, nested} = hypervisor;
    return {
      seen: `${seen}: this is a virtual machine${name === null ? '' : ` of ${name}`} without nested virtualization`,
      remedy: `have its host ${nested}; or try "kvfio lab", which brings a KVM of its own`,
    };
  }
  return {seen, remedy: 'enable VT-x or SVM in the firmware set-up; a processor without has to be replaced'};
};

export const virtualizationFlag = (machine: Machine): string | null =>
  cpuFlags(machine)?.find((flag) => flag === 'vmx' || flag === 'svm') ?? null;

/** Back ends of KVM that do without VMX and SVM, in kernels of some vendors. */
export const flaglessBackEnd = (machine: Machine): string | null =>
  (machineNames(machine, '/sys/module') ?? []).find((name) => name === 'kvm_pvm') ?? null;

type Cause = (machine: Machine) => ModuleObstacle | null;

const inDom0: Cause = ({tree}) =>
  readXenRole(tree) === 'dom0'
    ? {
        seen: 'Xen has the processor, and this is its dom0, where KVM cannot run',
        remedy: 'boot the entry without Xen, or start VMs with xl',
      }
    : null;

const CAUSES: readonly Cause[] = [
  inDom0,
  (machine) => {
    const [line] = logLines(machine, 'firmware-off');
    return line === undefined
      ? null
      : {
          seen: `the kernel log says "${line}"`,
          remedy: 'enable VT-x or SVM in the firmware set-up, and switch the machine off and on',
        };
  },
  (machine) => {
    const name = flaglessBackEnd(machine);
    return name === null || virtualizationFlag(machine) !== null ? null : notStarted(machine, name);
  },
  noVirtualization,
  (machine) => {
    const module = vendorModule(machine);
    if (module === null || !(isBuiltIn(machine, module) || isLoaded(machine, module.name))) return null;
    return notStarted(machine, module.name);
  },
  otherHypervisor,
];

/** A back end that is in the kernel even though there is no /dev/kvm. */
const notStarted = (machine: Machine, name: string): ModuleObstacle => {
  const word = machine.host.kernel.parameters?.find(
    (parameter) =>
      /^initcall_blacklist=.*(?:kvm|vmx|svm|pvm)/.test(parameter) || parameter === 'kvm-arm.mode=none',
  );
  if (word !== undefined)
    return {
      seen: `${name} did not start, and the kernel was booted with ${word}`,
      remedy: machine.distribution.removeParameter(word),
    };
  const [line] = logLines(machine, 'kvm');
  return {
    seen: `the back end ${name} is in this kernel, but did not start${line === undefined ? '' : `: the kernel log says "${line}"`}`,
    remedy:
      name === 'kvm'
        ? 'have the firmware or hypervisor start the kernel at EL2, or try "kvfio lab", which brings a KVM of its own'
        : `look for its reason with "dmesg | grep -i kvm", or try "kvfio lab", which brings a KVM of its own`,
  };
};

/** Modules of hypervisors that take VMX or SVM for themselves. */
const OTHERS: readonly (readonly [module: string, name: string])[] = [
  ['vboxdrv', 'VirtualBox'],
  ['vmmon', 'VMware'],
];

/** A hypervisor that keeps KVM from the processor while its VMs run. */
export function otherHypervisor(machine: Machine): ModuleObstacle | null {
  const found = OTHERS.find(([module]) => isLoaded(machine, module));
  const module = vendorModule(machine);
  if (found === undefined || module === null) return null;
  const [driver, name] = found;
  return {
    seen: `${name} (module ${driver}) may have the processor: it and KVM cannot run VMs at the same time`,
    remedy: `end the VMs of ${name}, run "modprobe -r ${driver}" and "modprobe ${module.name}" as root`,
  };
}

const X86: Record<'vmx' | 'svm', Module> = {
  vmx: {name: 'kvm_intel', option: 'CONFIG_KVM_INTEL'},
  svm: {name: 'kvm_amd', option: 'CONFIG_KVM_AMD'},
};

/** The extension of each maker's processors, by the maker's name in /proc/cpuinfo. */
const VENDORS: Record<string, keyof typeof X86> = {
  GenuineIntel: 'vmx',
  CentaurHauls: 'vmx',
  Shanghai: 'vmx',
  AuthenticAMD: 'svm',
  HygonGenuine: 'svm',
};

const OTHER_ARCHITECTURES: Record<string, Module> = {
  aarch64: {name: 'kvm', option: 'CONFIG_KVM'},
  riscv64: {name: 'kvm', option: 'CONFIG_KVM'},
  s390x: {name: 'kvm', option: 'CONFIG_KVM'},
  ppc64le: {name: 'kvm_hv', option: 'CONFIG_KVM_BOOK3S_64_HV'},
};

/** The module that brings KVM to this processor; null when that is not known. */
const vendorModule = (machine: Machine): Module | null => {
  const flag = virtualizationFlag(machine) ?? VENDORS[cpuVendor(machine) ?? ''];
  if (flag === 'vmx' || flag === 'svm') return X86[flag];
  return OTHER_ARCHITECTURES[machine.host.kernel.architecture ?? ''] ?? null;
};
