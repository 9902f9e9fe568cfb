import {Flags} from '@oclif/core';

/** For commands that can look at another machine's files. */
export const sysrootFlag = Flags.string({
  description: 'read another machine: a folder that holds sys and proc, or a file made by "kvfio snapshot"',
  helpValue: 'DIR|FILE',
});
