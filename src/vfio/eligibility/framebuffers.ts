import type {Attributes} from '../../host/attributes.js';

/** A framebuffer of the firmware that lies in the memory of a PCI device. */
export interface Framebuffer {
  /** The device's address. */
  device: string;
  /** What /proc/iomem calls it, such as `BOOTFB`. */
  name: string;
}

export const IOMEM = '/proc/iomem';

/**
 * Reads which devices have one, from the tree of resources: names are shown to everybody, addresses to root alone
 * (kernel/resource.c, r_show). A machine without such a framebuffer need not have that file read.
 */
export const readFramebuffers = (attributes: Attributes): Framebuffer[] => {
  const platform = attributes.names('/sys/bus/platform/devices') ?? [];
  if (!platform.some((name) => FRAMEBUFFER_DEVICE.test(name))) return [];
  const text = attributes.tree.text(IOMEM, LIMIT);
  return typeof text === 'string' ? framebuffersIn(text) : [];
};

/** Framebuffers in the text of /proc/iomem, which indents what lies in a resource by two more spaces. */
const framebuffersIn = (text: string): Framebuffer[] => {
  let above: string[] = [];
  return text.split('\n').flatMap((line) => {
    const [, indent = '', name = ''] = /^( *)[\da-f]+-[\da-f]+ : (.*)$/.exec(line) ?? [];
    if (name === '') return [];
    above = [...above.slice(0, indent.length / 2), name];
    const device = above.slice(0, -1).findLast((each) => PCI.test(each));
    return device !== undefined && FRAMEBUFFER.test(name) ? [{device, name}] : [];
  });
};

/** What {@link readFramebuffers} needs of a captured file, without the addresses. */
export const cutFramebuffers = (text: string): string =>
  framebuffersIn(text)
    .map(({device, name}) => `0-0 : ${device}\n  0-0 : ${name}\n`)
    .join('');

/** What drivers/firmware/sysfb.c makes for the framebuffer that the firmware left. */
const FRAMEBUFFER_DEVICE = /^(?:simple|efi|vesa)-framebuffer\./;

/** Names that sysfb (`BOOTFB`) and the drivers of such framebuffers give to their memory. */
const FRAMEBUFFER = /^(?:BOOTFB|efifb|vesafb|simplefb|simpledrm|efidrm|vesadrm)$/;

const PCI = /^[\da-f]{4,}:[\da-f]{2}:[\da-f]{2}\.[0-7]$/;

const LIMIT = 16 * 1024 * 1024;
