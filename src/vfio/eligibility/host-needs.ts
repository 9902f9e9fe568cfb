import type {Device} from '../../iommu/device.js';

/** What a machine's own workings may need, by the class code of a device (PCI Code and ID Assignment). */
const NEEDED: readonly {classCode: string; what: string}[] = [
  {
    classCode: '0601',
    what: 'an ISA bridge (LPC or eSPI), behind which are the super I/O and the embedded controller of the board',
  },
  {classCode: '0c05', what: 'an SMBus controller, behind which are memory modules and sensors of the board'},
  {
    classCode: '0c80',
    what: 'a serial bus controller, such as that of the flash that holds the firmware (SPI)',
  },
  {classCode: '0c07', what: "an IPMI interface, by which the host reaches the board's management controller"},
];

/** What drivers show of devices whose class does not. */
const NEEDED_BY_DRIVER: ReadonlyMap<string, string> = new Map([
  ['switchtec', 'the management endpoint of a PCIe switch, by which whoever has it can partition the switch'],
]);

/** Why a host may not do without a device, without a full stop; null where nothing speaks for that. */
export const hostNeed = ({
  address,
  classCode,
  driver,
}: Pick<Device, 'address' | 'classCode' | 'driver'>): string | null => {
  const what =
    NEEDED_BY_DRIVER.get(driver ?? '') ?? NEEDED.find((each) => classCode?.startsWith(each.classCode))?.what;
  return what === undefined ? null : `${address} is ${what}`;
};
