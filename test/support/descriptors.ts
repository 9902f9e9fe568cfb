import {readdirSync, readlinkSync} from 'node:fs';

/** What the descriptors of this process refer to, sorted; the one that lists them left out. */
export const descriptors = (): string[] =>
  readdirSync('/proc/self/fd')
    .flatMap((fd) => {
      try {
        return [`${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`];
      } catch {
        return [];
      }
    })
    .sort();
