import {capital, listed} from '../words.js';
import type {Device} from '../iommu/device.js';
import type {RuleSource} from '../iommu/coherency-rule.js';
import {guestMemoryTypes} from '../iommu/guest-memory-types.js';
import {groupBy} from '../group-by.js';
import type {Group} from '../iommu/group.js';
import type {Host} from '../iommu/host.js';
import {isX86Name, type Kernel} from '../iommu/kernel.js';
import {isPciBridge} from '../pci/class.js';
import {productName} from '../pci/name.js';
import {missingAcs, type Hop} from '../pci/path.js';
import type {SnoopControl} from '../iommu/snoop-control.js';
import type {Unit, UnitType} from '../iommu/unit.js';
import type {Assignability, Obstacle} from '../vfio/eligibility/assess.js';
import {hostNeed} from '../vfio/eligibility/host-needs.js';

/** What is to be known beside the group. */
type Machine = Pick<Host, 'kernel' | 'units'>;

/**
 * Answers in plain words what a group's snoop control means: which unit serves its devices, what the unit's
 * register says, what a VM with this group gets, and what can be done. One paragraph each.
 */
export const explainGroup = (host: Machine, group: Group, assignable: Assignability): string[] =>
  [
    members(group),
    ...served(host, group),
    differing(group),
    rule(host.kernel, group),
    consequence(host, group),
    noSnoop(group),
    ...paths(group),
    isolation(host.kernel, group),
    ...eligibility(group, assignable),
    hostNeeds(group),
    remedy(host, group),
  ].filter((paragraph) => paragraph !== null);

/** Says of a device that is in no group what that means for passing it through. */
export const explainUngrouped = (host: Pick<Host, 'kernel' | 'noGroups'>, device: Device): string[] => {
  const ignored = host.kernel.parameters?.find((parameter) =>
    /^intel_iommu=(?:.*,)?igfx_off\b/.test(parameter),
  );
  return [
    `${describe(device)} is in no IOMMU group: ${statements([device.snoopControl])}.`,
    host.noGroups === null
      ? 'Other devices of this machine are in groups, so the kernel leaves out this one or its unit.'
      : `This machine has no groups: ${host.noGroups.message}.`,
    ...(ignored === undefined || !(device.classCode?.startsWith('03') ?? false)
      ? []
      : [`${ignored} on the command line switches off the unit of the integrated graphics.`]),
    ...(ignored === undefined && mayBeLeftOut(host, device)
      ? [
          'A kernel that is built with CONFIG_INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF, as those of Debian are, leaves the integrated graphics out unless it is booted with intel_iommu=on: out of translation (an identity domain), which by itself keeps it in a group.',
        ]
      : []),
    device.boundToVfio
      ? 'VFIO has it without any protection (noiommu), so that no VM can use it.'
      : 'VFIO does not take it, except without any protection (noiommu), and KVM would then take the VM for non-coherent.',
  ];
};

/** Integrated graphics of Intel, where nobody asked for its IOMMU. */
const mayBeLeftOut = ({kernel, noGroups}: Pick<Host, 'kernel' | 'noGroups'>, device: Device): boolean =>
  noGroups === null &&
  device.vendorId === '8086' &&
  device.classCode?.startsWith('03') === true &&
  device.address.startsWith('0000:00:') &&
  kernel.parameters?.some((parameter) => /^intel_iommu=(?:.*,)?on\b/.test(parameter)) === false;

/** What people call each kind of unit. */
const UNIT_NAMES: Record<UnitType, string> = {
  'intel-vt-d': 'Intel VT-d',
  'amd-vi': 'AMD-Vi',
  'virtio-iommu': 'virtio-iommu',
  'arm-smmu-v3': 'Arm SMMUv3',
  'arm-smmu': 'Arm SMMU',
  s390: 's390 IOMMU',
  'spapr-tce': 'sPAPR TCE',
  qcom: 'Qualcomm IOMMU',
  'fsl-pamu': 'Freescale PAMU',
  riscv: 'RISC-V IOMMU',
  'apple-dart': 'Apple DART',
  verisilicon: 'Verisilicon IOMMU',
  embedded: 'IOMMU of a system on chip',
  unknown: 'unknown type',
};

const members = (group: Group): string => {
  if (group.devices.length === 0) return `Group ${group.id} has no devices.`;
  const count =
    group.devices.length === 1
      ? 'one device'
      : `${group.devices.length} devices, which can only be assigned together`;
  return `Group ${group.id} has ${count}: ${group.devices.map(describe).join('; ')}.`;
};

const describe = (device: Device): string => {
  const name = productName(device) ?? device.device ?? '';
  const reset =
    device.resetMethods === null
      ? ''
      : device.resetMethods.length === 0
        ? ', cannot be reset'
        : `, reset by ${device.resetMethods.join(', ')}`;
  return `${device.address}${name ? ` ${name}` : ''} (${device.driver ?? 'no driver'}${reset})`;
};

/** Whom each unit serves and, which holds for other groups too, what the unit says; and whom none serves. */
const served = (host: Machine, group: Group): string[] => {
  const byUnit = groupBy(group.devices, (device) => device.iommu);
  return [...byUnit].flatMap(([name, devices]) => {
    const who = listed(devices.map((device) => device.address));
    if (name === null) {
      return `No IOMMU unit serves ${who}: ${statements(conjunctionOf(devices))}.`;
    }
    const unit = host.units.find((candidate) => candidate.name === name);
    if (unit === undefined)
      return `The IOMMU unit ${name} serves ${who}, but it is not among the units of the machine.`;
    return [
      `The IOMMU unit ${name} (${UNIT_NAMES[unit.type]}) serves ${who}.`,
      `${says(unit)}${others(host, unit)}`,
    ];
  });
};

const says = (unit: Unit): string => {
  const [fact] = unit.snoopControl.evidence;
  const ecap = unit.registers.find((register) => register.name === 'ecap');
  if (fact?.register !== 'ecap' || fact.value === null)
    return `${capital(fact?.statement ?? 'nothing is known of it')}.`;
  const can = unit.snoopControl.verdict === 'enforced';
  return (
    `The Extended Capability Register of ${unit.name} reads ${fact.value} (${fact.file ?? ''}; set: ${ecap?.flags.join(' ') ?? ''}): ` +
    `bit 7, SC (Snoop Control), is ${can ? 'set' : 'clear'}, so the unit can${can ? '' : 'not'} force No-Snoop requests to snoop the CPU caches.`
  );
};

/** Integrated graphics often has a unit of its own: what another unit says does not apply to this device. */
const others = (host: Machine, unit: Unit): string => {
  const different = host.units.filter(
    (other) => other.name !== unit.name && other.snoopControl.verdict !== unit.snoopControl.verdict,
  );
  if (different.length === 0) return '';
  const parts = different.map((other) => `${other.name} is ${other.snoopControl.verdict}`);
  const counts =
    host.kernel.coherencyRule === 'all-units' && unit.type === 'intel-vt-d'
      ? 'this kernel asks them all'
      : 'what counts is the unit that serves the device';
  return ` Units of this machine differ (${parts.join(', ')}): ${counts}.`;
};

const differing = ({snoopControl: {boundMembers, allMembers}}: Group): string | null =>
  boundMembers === null || boundMembers.verdict === allMembers.verdict
    ? null
    : `The verdict for the members that are bound to VFIO now is "${boundMembers.verdict}"; with all members bound it would be "${allMembers.verdict}".`;

const rule = (kernel: Kernel, group: Group): string =>
  `${decides(kernel, group)}${RULE_SOURCES[kernel.coherencyRuleFrom](kernel.vendor ?? '')}`;

/** How kvfio knows that a kernel decides in that way. */
const RULE_SOURCES: Record<RuleSource, (vendor: string) => string> = {
  btf: () => ' The functions of its VFIO in /sys/kernel/btf show this.',
  kallsyms: () => ' The functions of its VFIO in /proc/kallsyms show this.',
  family: (vendor) =>
    ` kvfio takes this from the release: kernels of ${vendor} have code of newer ones. While vfio is loaded, kvfio asks the functions of the kernel.`,
  version: () => '',
};

const decides = ({coherencyRule, release}: Kernel, group: Group): string => {
  const kernel = `Kernel ${release ?? '(release unknown)'}`;
  switch (coherencyRule) {
    case 'devices': {
      const bound = group.devices.filter((device) => device.boundToVfio).length;
      const now =
        bound === 0
          ? 'None is bound now, so VFIO has no such group yet; this verdict is for the time when all are.'
          : `${bound === 1 ? 'One is' : `${bound} are`} bound now.`;
      return `${kernel} decides when the group is added to a VM: it asks for every member that is bound to a VFIO driver at that moment, and does not look again when members come or go. ${now}`;
    }
    case 'container':
      return `${kernel} decides by the VFIO container: every domain in it must enforce coherency, so one group without it taints all groups of the container. A group without a container counts as coherent when it is added, and VFIO_DMA_CC_IOMMU answers 0 until VFIO_SET_IOMMU was called.`;
    case 'all-units':
      return `${kernel} decides by the VFIO container and, on Intel, by all units of the machine: each must have snoop control, whichever serves the device.`;
  }
};

/**
 * What the VM gets: WBINVD by need_emulate_wbinvd(), INVD by the dispatch of exits (kvm_emulate_as_nop()), memory types by
 * vmx_get_mt_mask(), EPT by kvm_noncoherent_dma_assignment_start_or_stop(), SEV by sev_guest_memory_reclaimed() (arch/x86/kvm).
 */
const consequence = (host: Machine, group: Group): string => {
  if (!isX86(host)) return 'This machine is not x86: KVM does nothing with the answer here.';
  const {mtrrs, patQuirk, zaps} = guestMemoryTypes(host.kernel);
  const {release, vendor} = host.kernel;
  const doubt =
    vendor === null || isAmd(host)
      ? ''
      : `kvfio judges the memory types by the version of ${release ?? ''}; ${vendor} may have newer code of KVM.`;
  switch (group.snoopControl.verdict) {
    case 'enforced':
      return [
        "A VM that gets only such groups is coherent: KVM skips the guest's WBINVD, as it always skips INVD.",
        isAmd(host)
          ? 'The host still flushes its caches when it reclaims memory of an SEV guest.'
          : `On Intel CPUs guest memory is cached write-back whatever type the guest gave it${
              patQuirk
                ? ', while KVM_X86_QUIRK_IGNORE_GUEST_PAT is on: a VMM may switch it off on a processor with self-snoop, and a TDX guest has it off.'
                : '.'
            }`,
        doubt,
      ]
        .filter(Boolean)
        .join(' ');
    case 'not-enforced':
      return [
        'A VM that gets this group is non-coherent: KVM executes every WBINVD of the guest for real, on each CPU where the vCPU may have left dirty cache lines, which stalls everything else that runs there. INVD still has no effect.',
        ...(isAmd(host)
          ? []
          : [
              `On Intel CPUs KVM also honours the memory types that the guest sets${
                mtrrs
                  ? ', so firmware that runs before it has made memory cacheable is very slow, and boots can take many times as long.'
                  : ' in its PAT; since 6.11 it no longer looks at its MTRRs, which made boots slow before.'
              }`,
              zaps
                ? `When the first such group is added, and when the last one is deleted, KVM drops all page tables of the guest (EPT)${patQuirk ? ', unless KVM_X86_QUIRK_IGNORE_GUEST_PAT is off' : ''}.`
                : '',
            ]),
        doubt,
      ]
        .filter(Boolean)
        .join(' ');
    case 'unknown':
      return 'kvfio cannot determine here what KVM would decide. With the group in a container, VFIO_CHECK_EXTENSION(VFIO_DMA_CC_IOMMU) answers it after VFIO_SET_IOMMU.';
  }
};

const noSnoop = (group: Group): string | null => {
  const by = groupBy(
    group.devices.filter((device) => device.bus === 'pci' && !isPciBridge(device.classCode)),
    (device) => device.noSnoop,
  );
  const addresses = (state: Device['noSnoop']): string =>
    listed((by.get(state) ?? []).map((device) => device.address));
  const sentences: string[] = [];
  if (by.has('enabled')) {
    sentences.push(
      `${addresses('enabled')} may send No-Snoop requests (Enable No Snoop is set in Device Control), ` +
        (group.snoopControl.verdict === 'enforced'
          ? 'which the IOMMU makes coherent.'
          : 'which reach memory past the caches: the guest may then read what the host had left there.'),
    );
  }
  if (by.has('disabled')) {
    sentences.push(
      `${addresses('disabled')} may not send No-Snoop requests now (Enable No Snoop is clear), but KVM does not look at that bit, and the guest can set it.`,
    );
  }
  if (by.has('unknown')) {
    const reason = by.get('unknown')?.[0]?.noSnoopReason ?? '';
    sentences.push(`Whether ${addresses('unknown')} may send No-Snoop requests is unknown: ${reason}.`);
  }
  return sentences.length === 0 ? null : sentences.join(' ');
};

/** The ways to the devices that are behind ports; ports that are members themselves are on the way to others. */
const paths = (group: Group): string[] => {
  const shown = group.devices.flatMap(({address, hops, classCode}): Way[] =>
    hops !== null && hops.length > 1 && (!isPciBridge(classCode) || group.devices.length === 1)
      ? [{address, ports: hops.slice(0, -1).map(hopName), end: hopName(hops.at(-1) as Hop)}]
      : [],
  );
  return [...groupBy(shown, ({ports}) => ports[0])].map(([, ways]) => pathOf(ways));
};

/** Names of the ports from the root on, and of the device. */
interface Way {
  address: string;
  ports: string[];
  end: string;
}

/** What several ways begin with is said once. */
const pathOf = (ways: readonly Way[]): string => {
  const [first, ...others] = ways;
  const ports = first?.ports ?? [];
  const differs = ports.findIndex((port, at) => others.some((other) => other.ports[at] !== port));
  const common = ports.slice(0, differs === -1 ? ports.length : differs);
  const branches = groupBy(ways, (way) => way.ports.slice(common.length).join(' > '));
  const ends = [...branches].map(([name, members]) =>
    [...(name === '' ? [] : [name]), listed(members.map(({end}) => end))].join(' > '),
  );
  const who = listed(ways.map(({address}) => address));
  return ends.length === 1
    ? `Path of ${who}: ${[...common, ...ends].join(' > ')}.`
    : `Path of ${who}: ${common.join(' > ')}; from there ${listed(ends)}.`;
};

const isolation = (kernel: Kernel, group: Group): string | null => {
  const sentences: string[] = [];
  const ports = new Map<string, Hop>();
  for (const device of group.devices) {
    for (const hop of device.hops?.slice(0, -1) ?? []) ports.set(hop.address, hop);
  }
  const members = new Set(group.devices.map((device) => device.address));
  for (const functions of groupBy(group.devices.filter(isFunctionWithoutAcs), slotOf).values()) {
    if (functions.length < 2) continue;
    const addresses = listed(functions.map((device) => device.address));
    sentences.push(
      `${addresses} are functions of one device without ACS, so they may reach each other and share a group.`,
    );
  }
  const byFinding = groupBy(ports.values(), (hop) => separation(hop, members.has(hop.address)));
  for (const [finding, hops] of byFinding) {
    if (finding !== null) sentences.push(finding.replace(WHO, listed(hops.map((hop) => hop.address))));
  }
  if (kernel.parameters?.some((parameter) => parameter.startsWith('pcie_acs_override'))) {
    sentences.push(
      'pcie_acs_override is on the command line: groups may be split where the hardware does not isolate.',
    );
  }
  return sentences.length === 0 ? null : sentences.join(' ');
};

const isFunctionWithoutAcs = ({hops}: Device): boolean => {
  const own = hops?.at(-1);
  return own !== undefined && own.acsKnown && own.acs === null;
};

const slotOf = ({address}: Device): string => address.slice(0, address.lastIndexOf('.'));

/**
 * Whether a port keeps what is behind it apart. One that does not shares the group of its devices; one in another
 * group does, for all that its registers say (drivers/iommu/iommu.c, pci_device_group(); drivers/pci/quirks.c,
 * pci_dev_acs_enabled[]).
 */
const separation = (hop: Hop, isMember: boolean): string | null => {
  if (isMember && hop.port === 'PCIe-to-PCI bridge') {
    return `PCIe-to-PCI bridge ${WHO}: the IOMMU cannot distinguish the devices behind it.`;
  }
  const missing = missingAcs(hop);
  if (missing === null) {
    return `ACS unknown at ${WHO}: reading it takes CAP_SYS_ADMIN and a device that is awake.`;
  }
  if (missing.length === 0 || !isSwitchPort(hop)) return null;
  const lack = hop.acs === null ? 'No ACS' : `ACS without ${missing.join(', ')}`;
  return isMember
    ? `${lack} at ${WHO}: requests between the devices around it need not pass the IOMMU, so they share a group.`
    : `${lack} at ${WHO}, but the kernel takes it to isolate what is behind it, as it does for devices that it knows.`;
};

/** Stands for the ports of which a sentence is true. */
const WHO = '{}';

const isSwitchPort = (hop: Hop): boolean => hop.port === 'downstream switch port' || hop.port === 'root port';

const hopName = (hop: Hop): string => {
  const acs = hop.acs === null ? '' : `, ACS ${hop.acs.enabled.map((flag) => `${flag}+`).join(' ') || 'off'}`;
  return hop.port === null ? hop.address : `${hop.address} (${hop.port}${acs})`;
};

/** Whether VFIO would accept the group, and what stands in the way, in the kernel's order. */
const eligibility = (group: Group, {verdict, afterBind, obstacles}: Assignability): string[] => {
  if (group.devices.length === 0) return [];
  if (group.devices.every((device) => isPciBridge(device.classCode))) {
    return ['It has only bridges, which VFIO never takes: there is nothing to assign.'];
  }
  if (verdict === 'yes') return ['VFIO would accept the group as its members are bound now.'];
  // that no VFIO driver has a member whose own driver is in the way goes without saying
  const told = obstacles.some(({check}) => check === 'drivers')
    ? obstacles.filter(({check}) => check !== 'bound')
    : obstacles;
  // what is certain decides, also where the kernel would look at something else before
  const first = told.find(({certain}) => certain) ?? told[0];
  const others = told.filter((obstacle) => obstacle !== first);
  return [
    ...(first === undefined
      ? []
      : [
          `${first.certain ? 'VFIO would not accept the group' : 'Whether VFIO would accept the group is not certain'}: ${obstacleText(first)}`,
        ]),
    ...others.map(
      (obstacle) => `${obstacle.certain ? 'Besides' : 'Not certain besides'}: ${obstacleText(obstacle)}`,
    ),
    ...(afterBind === 'yes' ? [`After "kvfio bind --group ${group.id}" VFIO would accept it.`] : []),
  ];
};

const obstacleText = ({found, certain, call, errno, source, exact, cure}: Obstacle): string => {
  const what = {probe: 'the driver', open: 'opening the group', mmap: 'mapping it'}[call as string] ?? call;
  const doubt = exact ? '' : ', or otherwise by newer code, which kernels of this vendor may have';
  const answer = errno === null ? '' : `${what} ${certain ? 'is' : 'would be'} answered ${errno}${doubt}; `;
  const advice = cure === null ? (certain ? ' kvfio knows no cure.' : '') : ` ${capital(cure)}.`;
  return `${found} (${answer}${source}).${advice}`;
};

const hostNeeds = ({devices}: Group): string | null => {
  const needs = devices.map(hostNeed).filter((need) => need !== null);
  return needs.length === 0 ? null : `The host may need members of the group: ${needs.join('; ')}.`;
};

const remedy = (host: Machine, group: Group): string | null => {
  if (group.snoopControl.verdict !== 'not-enforced' || !isX86(host)) return null;
  const functions = group.devices.filter(
    (device) => device.noSnoop === 'enabled' && !isPciBridge(device.classCode),
  );
  const [first] = functions;
  return [
    `What can be done: ${cure(group)}.`,
    first === undefined
      ? ''
      : `While the device is idle, "setpci -s ${first.address} CAP_EXP+8.w=0:0800" forbids it to send No-Snoop requests until the guest allows them again, unless the kernel is locked down; KVM still treats the VM as non-coherent.`,
    guestMemoryTypes(host.kernel).mtrrs
      ? 'Guest firmware that sets up its MTRRs early avoids the slow boot.'
      : '',
  ]
    .filter(Boolean)
    .join(' ');
};

const cure = (group: Group): string => {
  const served = group.devices.filter((device) => device.iommu !== null);
  if (served.length === 0)
    return 'a device behind an IOMMU that has snoop control; no kernel parameter adds it here';
  if (served.every((device) => device.snoopControl.verdict === 'enforced')) {
    return 'Linux 5.19 or newer looks only at the unit that serves the device, which has snoop control';
  }
  return 'snoop control is a property of the unit, and no kernel parameter adds it; a slot behind a unit that has it is the real cure';
};

/** AMD's nested page tables leave the guest's memory types to the guest, coherent or not. */
const isAmd = ({units}: Machine): boolean => units.some((unit) => unit.type === 'amd-vi');

const isX86 = (host: Machine): boolean =>
  host.kernel.architecture === null
    ? !host.units.some((unit) => ['arm-smmu', 'arm-smmu-v3', 's390', 'spapr-tce'].includes(unit.type))
    : isX86Name(host.kernel.architecture);

const conjunctionOf = (devices: readonly Device[]): SnoopControl[] =>
  devices.map((device) => device.snoopControl);

const statements = (verdicts: readonly SnoopControl[]): string =>
  [...new Set(verdicts.flatMap((verdict) => verdict.evidence.map((fact) => fact.statement)))].join(', ');
