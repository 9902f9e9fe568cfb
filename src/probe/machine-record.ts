import {SyscallError} from '../linux/errno.js';
import type {HostTree} from '../host/tree.js';

/** Conditions of a run that must be equal, or be reported, when the numbers of two runs are compared. Unknown is null. */
export interface MachineRecord {
  /** Model name of the CPU that the vCPU was pinned to, or of the first one. */
  cpu: string | null;
  /** Vendor as CPUID says it, such as `GenuineIntel`. */
  vendor: string | null;
  /** Family, model and stepping, as in `6-143-8`. */
  signature: string | null;
  /** Revision of the microcode, as in `0x2b000603`. */
  microcode: string | null;
  /** Release of the kernel. */
  kernel: string | null;
  architecture: string | null;
  /** Back end of KVM, such as `kvm_intel`. */
  kvmModule: string | null;
  /** Whether this machine is itself a guest. */
  virtualised: boolean | null;
  /** The hypervisor under this machine; null without one, and when it does not show. */
  hypervisor: string | null;
  /** Logical CPUs that are online, as a list like `0-3,8`. */
  online: string | null;
  /** CPU that the vCPU's thread was kept on. */
  pinnedCpu: number | null;
  /** CPUs that the process may use, as a list. */
  allowed: string | null;
  /** Governor of cpufreq for that CPU. */
  governor: string | null;
  /** Driver of cpufreq for that CPU. */
  frequencyDriver: string | null;
  clockSource: string | null;
  /** What the kernel does about each weakness of the CPU, by the names of its files; null when it does not say. */
  mitigations: Record<string, string> | null;
  /** Version of kvfio. */
  kvfio: string;
}

export interface MachineRecordOptions {
  /** CPU that the vCPU's thread is kept on; null when it is not. */
  pinnedCpu: number | null;
  kvfioVersion: string;
}

/** Reads the record of a machine. What cannot be read is null; nothing is thrown. */
export const readMachineRecord = (
  tree: HostTree,
  {pinnedCpu, kvfioVersion}: MachineRecordOptions,
): MachineRecord => {
  const text = (path: string): string | null => textOf(tree, path)?.trim() || null;
  const processor = processorFields(tree, pinnedCpu ?? 0);
  const field = (name: string): string | null => processor?.get(name) ?? null;
  const numbers = ['cpu family', 'model', 'stepping'].map(field);
  const flags = field('flags')?.split(' ') ?? null;
  const virtualised = flags?.includes('hypervisor') ?? null;
  const frequency = `/sys/devices/system/cpu/cpu${pinnedCpu ?? 0}/cpufreq`;
  return {
    cpu: field('model name'),
    vendor: field('vendor_id'),
    signature: numbers.includes(null) ? null : numbers.join('-'),
    microcode: field('microcode'),
    kernel: text('/proc/sys/kernel/osrelease'),
    architecture: text('/proc/sys/kernel/arch'),
    kvmModule: kvmModule(tree, flags ?? []),
    virtualised,
    hypervisor: virtualised === true ? hypervisorName(tree) : null,
    online: text('/sys/devices/system/cpu/online'),
    pinnedCpu,
    allowed: /^Cpus_allowed_list:\s*(\S+)$/m.exec(textOf(tree, '/proc/self/status') ?? '')?.[1] ?? null,
    governor: text(`${frequency}/scaling_governor`),
    frequencyDriver: text(`${frequency}/scaling_driver`),
    clockSource: text('/sys/devices/system/clocksource/clocksource0/current_clocksource'),
    mitigations: mitigations(tree),
    kvfio: kvfioVersion,
  };
};

const textOf = (tree: HostTree, path: string): string | null => {
  const text = tree.text(path);
  return text instanceof SyscallError ? null : text;
};

/** The block of one CPU in /proc/cpuinfo, which is as long as the machine is large. */
const processorFields = (tree: HostTree, cpu: number): Map<string, string> | null => {
  const text = tree.text('/proc/cpuinfo', CPUINFO_LIMIT);
  if (text instanceof SyscallError) return null;
  const blocks = text.split('\n\n').map((block) => new Map(block.split('\n').map((line) => fieldOf(line))));
  return (
    blocks.find((block) => block.get('processor') === String(cpu)) ??
    blocks.find((block) => block.has('processor')) ??
    null
  );
};

/** Bytes of /proc/cpuinfo that are read: about 1.5 KiB for each of 8192 CPUs, the most that Linux has on x86. */
const CPUINFO_LIMIT = 16 * 1024 * 1024;

const fieldOf = (line: string): [string, string] => {
  const colon = line.indexOf(':');
  return [line.slice(0, Math.max(colon, 0)).trim(), line.slice(colon + 1).trim()];
};

const kvmModule = (tree: HostTree, flags: readonly string[]): string | null => {
  const modules = tree.list('/sys/module');
  if (modules instanceof SyscallError) return null;
  const loaded = modules.filter((name) => /^kvm_[a-z0-9]+$/.test(name)).sort();
  if (loaded.length < 2) return loaded[0] ?? null;
  // those that are built in are always there, and both vendors' may be
  const own = flags.includes('vmx') ? 'kvm_intel' : flags.includes('svm') ? 'kvm_amd' : null;
  const likely = loaded.filter((name) => name === own);
  return (likely.length > 0 ? likely : loaded).join(' or ');
};

/** What the hypervisor calls itself, else what is known of it by its clock, its interface or its firmware. */
const hypervisorName = (tree: HostTree): string | null => {
  const text = (path: string): string | null => textOf(tree, path)?.trim() || null;
  const signature = cpuidSignature(tree);
  if (signature !== null) return SIGNATURES[signature] ?? signature;
  const interfaceName = text('/sys/hypervisor/type');
  if (interfaceName !== null && interfaceName !== 'none') return interfaceName;
  const clocks = text('/sys/devices/system/clocksource/clocksource0/available_clocksource') ?? '';
  if (clocks.includes('kvm-clock')) return 'KVM';
  if (clocks.includes('hyperv_clocksource')) return 'Hyper-V';
  const names = ['sys_vendor', 'product_name'].map((name) => text(`/sys/class/dmi/id/${name}`));
  return names.filter((name) => name !== null).join(' ') || null;
};

/** Leaf 0x40000000 as the module cpuid shows it: twelve characters in EBX, ECX and EDX. */
const cpuidSignature = (tree: HostTree): string | null => {
  const leaf = tree.inspect('/dev/cpu/0/cpuid', (at) => at(0x4000_0000, 16));
  if (leaf instanceof SyscallError || leaf.length < 16) return null;
  return leaf.toString('latin1', 4).replace(/\0+$/, '') || null;
};

const SIGNATURES: Record<string, string> = {
  KVMKVMKVM: 'KVM',
  'Microsoft Hv': 'Hyper-V',
  TCGTCGTCGTCG: 'QEMU without KVM (TCG)',
  VMwareVMware: 'VMware',
  XenVMMXenVMM: 'Xen',
  'bhyve bhyve ': 'bhyve',
};

const VULNERABILITIES = '/sys/devices/system/cpu/vulnerabilities';

const mitigations = (tree: HostTree): Record<string, string> | null => {
  const names = tree.list(VULNERABILITIES);
  if (names instanceof SyscallError) return null;
  const known = names.sort().flatMap((name) => {
    const text = textOf(tree, `${VULNERABILITIES}/${name}`)?.trim();
    return text === undefined ? [] : [[name, text]];
  });
  return Object.fromEntries(known) as Record<string, string>;
};
