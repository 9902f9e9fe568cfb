import {hasCapability, machineNames, machineText, type Machine} from './machine.js';

/** What keeps a module from running, and what to do about it; each is one sentence without a full stop. */
export interface ModuleObstacle {
  seen: string;
  remedy: string;
}

/** A module, with the option that has it built. */
export interface Module {
  /** Name of the module with underscores, as the kernel has it. */
  name: string;
  option: string;
}

/**
 * Whether a module is part of the kernel itself. Its folder in /sys/module is then there if it has parameters, whether or not
 * it started, and lacks what kernel/module/sysfs.c adds for one that was loaded.
 */
export const isBuiltIn = (machine: Machine, {name, option}: Module): boolean => {
  const files = machineNames(machine, `/sys/module/${name}`);
  if (files !== null) return !LOADED.some((file) => files.includes(file));
  return machine.config?.option(option) === 'y' || isIn(machine, 'modules.builtin', name);
};

export const isLoaded = (machine: Machine, name: string): boolean =>
  machineNames(machine, `/sys/module/${name}`)?.some((file) => LOADED.includes(file)) ?? false;

const LOADED = ['initstate', 'refcnt', 'coresize'];

/** What keeps root from loading a module with modprobe; null when nothing is seen that would. */
export const obstacleTo = (machine: Machine, module: Module): ModuleObstacle | null => {
  for (const look of OBSTACLES) {
    const obstacle = look(machine, module);
    if (obstacle !== null) return obstacle;
  }
  return null;
};

/** Why a module does not run that is not part of the kernel, and what has to be done. */
export const howToLoad = (machine: Machine, module: Module): ModuleObstacle =>
  obstacleTo(machine, module) ??
  blacklisted(machine, module) ?? {
    seen: `the module ${module.name} is not loaded`,
    remedy: machine.distribution.loadModule(module.name),
  };

type Look = (machine: Machine, module: Module) => ModuleObstacle | null;

const OBSTACLES: readonly Look[] = [
  ({config, distribution}, {option}) =>
    config?.option(option) === 'n'
      ? {seen: `${config.path} has no ${option}`, remedy: distribution.otherKernel(option)}
      : null,
  (machine, {option}) =>
    loadsModules(machine, option)
      ? null
      : {
          seen: 'this kernel cannot load modules (CONFIG_MODULES)',
          remedy: machine.distribution.otherKernel(option),
        },
  ({live}, {name}) =>
    live?.user.uid !== 0 || hasCapability(live.user, 'CAP_SYS_MODULE')
      ? null
      : {
          seen: `the module ${name} is not loaded, and root here may load none (it lacks CAP_SYS_MODULE)`,
          remedy: `run "modprobe ${name}" where root may: on the host, if this is a container`,
        },
  (machine, {name}) =>
    machineText(machine, '/proc/sys/kernel/modules_disabled')?.trim() === '1'
      ? {
          seen: 'kernel.modules_disabled is 1, so that no module can be loaded until the next boot',
          remedy: `run "echo ${name} > /etc/modules-load.d/${name}.conf" as root and reboot`,
        }
      : null,
  ({host, distribution}, {name}) => {
    const word = host.kernel.parameters?.find(
      (parameter) =>
        listsName('module_blacklist', parameter, name) ||
        (INITCALLS[name] ?? []).some((call) => listsName('initcall_blacklist', parameter, call)),
    );
    return word === undefined
      ? null
      : {seen: `booted with ${word}`, remedy: distribution.removeParameter(word)};
  },
  (machine, {name, option}) => {
    const release = machine.host.kernel.release ?? '';
    const folder = `/lib/modules/${release}`;
    if (isIn(machine, 'modules.dep', name)) return null;
    const other = machine.distribution.otherKernel(option);
    return machineNames(machine, folder) === null
      ? {seen: `${folder} is not there`, remedy: `install the modules of Linux ${release}, or ${other}`}
      : {seen: `${folder} has no module ${name}`, remedy: other};
  },
  (machine, {name}) => {
    const line = modprobeLine(machine, 'install', name);
    return line === null || !/\/(?:false|true)\b/.test(line.text)
      ? null
      : {
          seen: `${line.file} has "${line.text}"`,
          remedy: `remove that line, then run "modprobe ${name}" as root`,
        };
  },
];

/** Functions that start a module, even one that is loaded: without them modprobe is answered EPERM (init/main.c, do_one_initcall()). */
const INITCALLS: Record<string, readonly string[]> = {
  kvm_amd: ['svm_init', 'kvm_x86_init', 'kvm_init'],
  kvm_intel: ['vmx_init', 'vt_init', 'kvm_x86_init', 'kvm_init'],
  vfio: ['vfio_init'],
  vfio_iommu_type1: ['vfio_iommu_type1_init', 'vfio_init'],
  vfio_pci: ['vfio_pci_init', 'vfio_pci_core_init', 'vfio_init'],
};

/** Finds a blacklist, which keeps the kernel from loading a module unasked; modprobe with its very name still loads it. */
const blacklisted: Look = (machine, {name}) => {
  const word = machine.host.kernel.parameters?.find((parameter) =>
    listsName('modprobe.blacklist', parameter, name),
  );
  const line = modprobeLine(machine, 'blacklist', name);
  if (word === undefined && line === null) return null;
  const then = `run "modprobe ${name}" as root, and for every boot`;
  return word !== undefined
    ? {
        seen: `booted with ${word}`,
        remedy: `${then} ${machine.distribution.removeParameter(word)}`,
      }
    : {
        seen: `${line?.file ?? ''} has "${line?.text ?? ''}"`,
        remedy: `${then} remove that line`,
      };
};

/** A configuration says so, or a /proc that has what every kernel has, and no list of modules. */
const loadsModules = (machine: Machine, option: string): boolean => {
  const {config} = machine;
  if (config?.option(option) === 'm' || config?.option('CONFIG_MODULES') === 'y') return true;
  return machineText(machine, '/proc/misc') === null || machineText(machine, '/proc/modules', INDEX) !== null;
};

/** Whether a parameter such as `module_blacklist=a,b` names a module. */
const listsName = (key: string, parameter: string, name: string): boolean =>
  parameter.startsWith(`${key}=`) &&
  parameter
    .slice(key.length + 1)
    .split(',')
    .some((each) => each.replaceAll('-', '_') === name);

const MODPROBE = [
  '/etc/modprobe.d',
  '/run/modprobe.d',
  '/usr/local/lib/modprobe.d',
  '/usr/lib/modprobe.d',
  '/lib/modprobe.d',
];

/** A line of modprobe.d(5) about a module. */
const modprobeLine = (
  machine: Machine,
  command: 'install' | 'blacklist',
  name: string,
): {file: string; text: string} | null => {
  for (const folder of MODPROBE) {
    for (const file of (machineNames(machine, folder) ?? [])
      .filter((each) => each.endsWith('.conf'))
      .sort()) {
      const lines = machineText(machine, `${folder}/${file}`)?.split('\n') ?? [];
      const text = lines.find((line) => {
        const [first, module] = line.trim().split(/\s+/);
        return first === command && module?.replaceAll('-', '_') === name;
      });
      if (text !== undefined) return {file: `${folder}/${file}`, text: text.trim()};
    }
  }
  return null;
};

/** Whether an index of the kernel's modules has one. The name of its file may have dashes where it has underscores. */
const isIn = (machine: Machine, index: 'modules.dep' | 'modules.builtin', name: string): boolean => {
  const {release} = machine.host.kernel;
  if (release === null) return false;
  const text = machineText(machine, `/lib/modules/${release}/${index}`, INDEX);
  return new RegExp(`/${name.replaceAll('_', '[-_]')}\\.ko(?:\\.\\w+)?(?::|$)`, 'm').test(text ?? '');
};

const INDEX = 16 * 1024 * 1024;
