import {Flags} from '@oclif/core';

/** For commands that can look at another machine's files. */
export const sysrootFlag = Flags.string({
  summary: 'read another machine, by its snapshot or its files',
  description: 'read another machine: a file of "kvfio snapshot", or a folder that holds sys and proc',
  helpValue: 'DIR|FILE',
});
