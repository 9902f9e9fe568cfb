import {Flags} from '@oclif/core';
import {INT_MAX} from './int-max.js';

export const vmmGroupFlag = Flags.integer({
  char: 'g',
  description: 'an IOMMU group, whose devices the VMM gets',
  required: true,
  multiple: true,
  multipleNonGreedy: true,
  min: 0,
  max: INT_MAX,
  helpValue: 'N',
});
