import {ansible} from './ansible.js';
import type {Format} from './format.js';
import {libvirt} from './libvirt.js';
import {prometheus} from './prometheus.js';

/** Every format by the name that the command line has for it. */
export const FORMATS = {prometheus, ansible, libvirt} as const satisfies Record<string, Format>;

export type FormatName = keyof typeof FORMATS;

export const FORMAT_NAMES = Object.keys(FORMATS) as FormatName[];
