import {readdirSync, readlinkSync} from 'node:fs';

/**
 * What the descriptors of this process refer to, sorted; left out are the one that lists them, and those of the compiler,
 * which come and go by themselves.
 */
export const descriptors = (): string[] =>
  readdirSync('/proc/self/fd')
    .flatMap((fd) => {
      try {
        const file = readlinkSync(`/proc/self/fd/${fd}`);
        return file.includes('/tsx-') ? [] : [`${fd} ${file}`];
      } catch {
        return [];
      }
    })
    .sort();
