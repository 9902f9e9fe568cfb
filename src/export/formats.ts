import {ansible} from './ansible.js';
import {cdi} from './cdi.js';
import type {Format} from './format.js';
import {libvirt} from './libvirt.js';
import {nfdObject} from './nfd-object.js';
import {nfd} from './nfd.js';
import {prometheus} from './prometheus.js';

/** What the command line calls each format. */
export const FORMAT_NAMES = ['prometheus', 'ansible', 'libvirt', 'nfd', 'nfd-object', 'cdi'] as const;

export type FormatName = (typeof FORMAT_NAMES)[number];

export const FORMATS: Readonly<Record<FormatName, Format>> = {
  prometheus,
  ansible,
  libvirt,
  nfd,
  'nfd-object': nfdObject,
  cdi,
};
