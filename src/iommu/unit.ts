import type {KernelVersion} from '../host/kernel-release.js';
import {isAtLeast} from '../host/kernel-release.js';
import {ACPI_TABLES, acpiTables, canwbsBehind, hasNoHostTables, type AcpiTables} from './acpi-tables.js';
import type {Attributes} from '../host/attributes.js';
import {ECAP_SC_BIT, ecapFlags, hasBit, parseRegister} from './intel-registers.js';
import {evidence, type SnoopControl} from './snoop-control.js';

export type UnitType =
  | 'intel-vt-d'
  | 'amd-vi'
  | 'virtio-iommu'
  | 'arm-smmu-v3'
  | 'arm-smmu'
  | 's390'
  | 'spapr-tce'
  | 'qcom'
  | 'fsl-pamu'
  | 'riscv'
  | 'apple-dart'
  | 'verisilicon'
  | 'embedded'
  | 'unknown';

/** One register of a unit as the kernel shows it. */
export interface UnitRegister {
  name: string;
  /** Hexadecimal with `0x`, or the text itself where it is not one number. */
  value: string;
  file: string;
  /** Names of the bits that are set, where kvfio knows the register. */
  flags: string[];
}

/** One IOMMU unit of the machine, that is one entry of /sys/class/iommu. */
export interface Unit {
  /** `dmar0`, `ivhd0`, `smmu3.0x...`, or the bus name of a virtio-iommu device. */
  name: string;
  type: UnitType;
  registers: UnitRegister[];
  /**
   * Whether its driver claims cache coherent DMA (IOMMU_CAP_CACHE_COHERENCY), without which VFIO takes no device behind it; null
   * where that depends on what does not show.
   */
  cacheCoherency: boolean | null;
  snoopControl: SnoopControl;
}

/** What the kind of kernel says about units. */
export interface UnitContext {
  version: KernelVersion | null;
  /** IOMMU parameters of the kernel command line; null when it could not be read. */
  parameters: string[] | null;
}

const UNITS = '/sys/class/iommu';

/** Reads every IOMMU unit, sorted by name. The same on a machine without any: an empty list. */
export const readUnits = (attributes: Attributes, context: UnitContext): Unit[] => {
  const tables = acpiTables(attributes.tree);
  return (attributes.names(UNITS) ?? [])
    .sort((a, b) => a.localeCompare(b, 'en', {numeric: true}))
    .map((name) => readUnit(attributes, name, {...context, tables}));
};

const readUnit = (
  attributes: Attributes,
  name: string,
  context: UnitContext & {tables: AcpiTables},
): Unit => {
  const type = unitType(attributes, name);
  const registers = readRegisters(attributes, name, type);
  return {
    name,
    type,
    registers,
    cacheCoherency: cacheCoherency(type, context.version) ?? declaredCoherency(attributes, name, type),
    snoopControl: unitSnoopControl({name, type, registers}, context),
  };
};

/**
 * Recognises a unit's driver by the attribute group that it makes, then by the driver of its parent device, then by
 * its name (iommu_device_sysfs_add() in each driver under drivers/iommu/).
 */
const unitType = (attributes: Attributes, name: string): UnitType => {
  const entries = attributes.names(`${UNITS}/${name}`, 'expected') ?? [];
  if (entries.includes('intel-iommu')) return 'intel-vt-d';
  if (entries.includes('amd-iommu')) return 'amd-vi';
  if (entries.includes('spapr-tce-iommu')) return 'spapr-tce';
  const driver = entries.includes('device') ? attributes.linkName(`${UNITS}/${name}/device/driver`) : null;
  const byDriver = driver === null ? undefined : TYPE_OF_DRIVER.get(driver);
  if (byDriver !== undefined) return byDriver;
  return TYPE_OF_NAME.find(([pattern]) => pattern.test(name))?.[1] ?? 'unknown';
};

const TYPE_OF_DRIVER = new Map<string, UnitType>([
  ['virtio_iommu', 'virtio-iommu'],
  ['arm-smmu-v3', 'arm-smmu-v3'],
  ['arm-smmu', 'arm-smmu'],
  ['qcom-iommu', 'qcom'],
  ['apple-dart', 'apple-dart'],
  ['vsi-iommu', 'verisilicon'],
  ['ipmmu-vmsa', 'embedded'],
  ['sprd-iommu', 'embedded'],
  ['tegra-mc', 'embedded'],
  ['mtk-iommu', 'embedded'],
  ['mtk-iommu-v1', 'embedded'],
  ['sun50i-iommu', 'embedded'],
  ['msm_iommu', 'embedded'],
  ['rk_iommu', 'embedded'],
  ['exynos-sysmmu', 'embedded'],
  ['omap-iommu', 'embedded'],
]);

const TYPE_OF_NAME: readonly (readonly [RegExp, UnitType])[] = [
  [/^smmu3\./, 'arm-smmu-v3'],
  [/^smmu\./, 'arm-smmu'],
  [/^s390-iommu\./, 's390'],
  [/^iommu-phb/, 'spapr-tce'],
  [/^iommu0$/, 'fsl-pamu'],
  [/^riscv-iommu@/, 'riscv'],
  [/^apple-dart\./, 'apple-dart'],
];

/** What the driver of a unit claims ({@link CACHE_COHERENCY}); null also for a no of drivers in a kernel that is newer than 7.3 or not known. */
const cacheCoherency = (type: UnitType, version: KernelVersion | null): boolean | null => {
  const claim = CACHE_COHERENCY[type];
  return claim === false && (version === null || isAtLeast(version, 7, 4)) ? null : claim;
};

/**
 * What the device tree says of the table walks of an SMMUv3 (drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c, arm_smmu_device_dt_probe() and
 * arm_smmu_capable()). Null where it says nothing: a node above may, or the firmware has no tree.
 */
const declaredCoherency = (attributes: Attributes, name: string, type: UnitType): boolean | null =>
  type === 'arm-smmu-v3' &&
  attributes.names(`${UNITS}/${name}/device/of_node`)?.includes('dma-coherent') === true
    ? true
    : null;

/**
 * What drivers answer for IOMMU_CAP_CACHE_COHERENCY, up to Linux 7.3. Those without a `capable` operation answer no to everything; of
 * an SMMU it depends on whether its table walks, or the device, are coherent.
 */
const CACHE_COHERENCY: Record<UnitType, boolean | null> = {
  'intel-vt-d': true,
  'amd-vi': true,
  'virtio-iommu': true,
  s390: true,
  'spapr-tce': true,
  qcom: true,
  'fsl-pamu': true,
  'arm-smmu-v3': null,
  'arm-smmu': null,
  unknown: null,
  riscv: false,
  'apple-dart': false,
  verisilicon: false,
  embedded: false,
};

const REGISTER_FILES: Partial<Record<UnitType, {folder: string; names: string[]}>> = {
  'intel-vt-d': {folder: 'intel-iommu', names: ['version', 'address', 'cap', 'ecap']},
  'amd-vi': {folder: 'amd-iommu', names: ['cap', 'features']},
};

const readRegisters = (attributes: Attributes, unit: string, type: UnitType): UnitRegister[] => {
  const files = REGISTER_FILES[type];
  if (files === undefined) return [];
  return files.names.flatMap((name) => {
    const file = `${UNITS}/${unit}/${files.folder}/${name}`;
    const text = attributes.text(file, 'expected');
    if (text === null) return [];
    const value = parseRegister(text);
    if (value === null && name === 'ecap')
      attributes.malformed(file, `"${text.slice(0, 40)}" is not a register value`);
    const flags = value !== null && name === 'ecap' ? ecapFlags(value) : [];
    return [
      {name, value: value === null || name === 'version' ? text : `0x${value.toString(16)}`, file, flags},
    ];
  });
};

/**
 * What the unit's driver answers for IOMMU_CAP_ENFORCE_CACHE_COHERENCY.
 *
 * Sources: intel_iommu_capable() and ecap_sc_support(), amd_iommu_capable(), viommu_capable(),
 * arm_smmu_capable() of both SMMU drivers; drivers that do not name the capability answer no.
 */
const unitSnoopControl = (
  {name: unit, type, registers}: Pick<Unit, 'name' | 'type' | 'registers'>,
  {version, parameters, tables}: UnitContext & {tables: AcpiTables},
): SnoopControl => {
  switch (type) {
    case 'intel-vt-d':
      return intelSnoopControl(unit, registers);
    case 'amd-vi': {
      const v2 = parameters?.some((parameter) => /^amd_iommu=(.*,)?pgtbl_v2(,|$)/.test(parameter)) ?? false;
      const why = v2 ? 'amd_iommu=pgtbl_v2 selects' : isForcedToV2(tables, version) ? HATDIS : null;
      return {
        verdict: 'enforced',
        confidence: why === null ? 'exact' : 'by-type',
        evidence: [
          evidence(
            why === null
              ? 'AMD-Vi forces coherency with the FC bit of every page table entry, and its driver always says so'
              : `the AMD-Vi driver always claims enforcement, but ${why} page tables that have no Force Coherent bit`,
            {unit, file: `${UNITS}/${unit}/amd-iommu`},
          ),
        ],
      };
    }
    case 'arm-smmu-v3':
      if (version !== null && !isAtLeast(version, 6, 13)) return never(unit, 'the SMMUv3 driver before 6.13');
      return smmuSnoopControl(tables, unit);
    case 'virtio-iommu':
      return never(unit, 'the virtio-iommu driver');
    case 'arm-smmu':
      return never(unit, 'the SMMUv1/v2 driver');
    case 's390':
      return never(unit, 'the s390 driver');
    case 'spapr-tce':
      return never(unit, 'the sPAPR TCE driver');
    case 'qcom':
      return never(unit, 'the driver of IOMMUs of Qualcomm');
    case 'fsl-pamu':
      return never(unit, 'the PAMU driver');
    case 'riscv':
      return never(unit, 'the RISC-V driver');
    case 'apple-dart':
      return never(unit, 'the DART driver');
    case 'verisilicon':
      return never(unit, 'the Verisilicon driver');
    case 'embedded':
      return never(unit, 'its driver');
    case 'unknown':
      return {
        verdict: 'unknown',
        confidence: 'none',
        evidence: [
          evidence('kvfio does not know the driver of this IOMMU unit', {unit, file: `${UNITS}/${unit}`}),
        ],
      };
  }
};

const HATDIS =
  'firmware says that the units have no others (HATDis in IVRS), so the kernel takes version 2, that is';

const isForcedToV2 = (tables: AcpiTables, version: KernelVersion | null): boolean => {
  if (version !== null && !isAtLeast(version, 6, 17)) return false;
  const ivrs = tables('IVRS');
  return Buffer.isBuffer(ivrs) && hasNoHostTables(ivrs);
};

/** SMMUv3 enforces it where firmware says CANWBS of the root complex, which only ACPI can say (arm_smmu_master_canwbs()). */
const smmuSnoopControl = (tables: AcpiTables, unit: string): SnoopControl => {
  const iort = tables('IORT');
  const file = `${ACPI_TABLES}/IORT`;
  const verdict = (
    [word, confidence]: [SnoopControl['verdict'], SnoopControl['confidence']],
    statement: string,
  ): SnoopControl => ({verdict: word, confidence, evidence: [evidence(statement, {unit, file})]});
  if (iort === null)
    return {
      verdict: 'not-enforced',
      confidence: 'exact',
      evidence: [
        evidence(
          'the SMMUv3 driver claims enforcement where ACPI says CANWBS, and this machine has no IORT',
          {
            unit,
          },
        ),
      ],
    };
  if (!Buffer.isBuffer(iort))
    return verdict(
      ['unknown', 'none'],
      `SMMUv3 enforces it where firmware sets CANWBS for the root complex, and IORT cannot be read (${iort.code}; root may)`,
    );
  const base = /^smmu3\.(0x[\da-f]{1,16})$/.exec(unit)?.[1];
  switch (base === undefined ? null : canwbsBehind(iort, BigInt(base))) {
    case 'all':
      return verdict(['enforced', 'exact'], 'IORT has CANWBS for every root complex behind the SMMUv3');
    case 'none':
      return verdict(['not-enforced', 'exact'], 'IORT has CANWBS for no root complex behind the SMMUv3');
    case 'some':
      return verdict(['unknown', 'none'], 'IORT has CANWBS for some of the root complexes behind the SMMUv3');
    case null:
      return verdict(['unknown', 'none'], 'IORT does not have this SMMUv3');
  }
};

const intelSnoopControl = (unit: string, registers: UnitRegister[]): SnoopControl => {
  const ecap = registers.find((register) => register.name === 'ecap');
  const value = parseRegister(ecap?.value ?? '');
  if (ecap === undefined || value === null) {
    const file = `${UNITS}/${unit}/intel-iommu/ecap`;
    return {
      verdict: 'unknown',
      confidence: 'none',
      evidence: [
        evidence('the Extended Capability Register could not be read', {unit, register: 'ecap', file}),
      ],
    };
  }
  const enforced = hasBit(value, ECAP_SC_BIT);
  return {
    verdict: enforced ? 'enforced' : 'not-enforced',
    confidence: 'exact',
    evidence: [
      evidence(`bit 7 (SC, Snoop Control) of ecap is ${enforced ? 'set' : 'clear'}`, {
        unit,
        register: 'ecap',
        bit: ECAP_SC_BIT,
        value: ecap.value,
        file: ecap.file,
      }),
    ],
  };
};

const never = (unit: string, who: string): SnoopControl => ({
  verdict: 'not-enforced',
  confidence: 'by-type',
  evidence: [evidence(`${who} never claims to enforce cache coherency`, {unit, file: `${UNITS}/${unit}`})],
});
