import {CLASS_FILTERS, isOfClass, type ClassFilter} from '../pci/class.js';

/** Kinds of devices as people call them. */
export const KINDS = Object.keys(CLASS_FILTERS) as ClassFilter[];

/** The kinds that a device is of, by its class code. */
export const kindsOf = ({classCode}: {classCode: string | null}): ClassFilter[] =>
  KINDS.filter((kind) => isOfClass(classCode, kind));
