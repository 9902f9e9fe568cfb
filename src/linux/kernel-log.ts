import {lstatSync} from 'node:fs';
import {DirectoryTree} from './directory-tree.js';
import {SyscallError} from './errno.js';
import type {HostTree} from './host-tree.js';

/** Where the kernel gives its log, one record a read (Documentation/ABI/testing/dev-kmsg). */
export const KMSG = '/dev/kmsg';

/**
 * What a machine's kernel has said since it was booted, as far as its buffer goes back; null when it may not be read
 * (kernel.dmesg_restrict) or is not there.
 */
export const readKernelLog = (tree: HostTree): string[] | null => {
  if (!isOfMachine(tree)) return null;
  const text = tree.inspect(KMSG, (at) => {
    const parts: string[] = [];
    for (let offset = 0, bytes: Buffer; (bytes = record(at, offset)).length > 0; offset += bytes.length)
      parts.push(bytes.toString());
    return parts.join('');
  });
  return text instanceof SyscallError ? null : kernelMessages(text);
};

/** The messages of a log as /dev/kmsg has it, or as dmesg, journalctl or a file of syslog shows it. */
export const kernelMessages = (text: string): string[] =>
  text.split('\n').flatMap((line) => {
    // what belongs to the record before: its device, and its further lines
    if (line === '' || line.startsWith(' ')) return [];
    return line.replace(KMSG_HEAD, '').replace(SYSLOG_HEAD, '').replace(DMESG_HEAD, '').trim();
  });

const KMSG_HEAD = /^\d+,\d+,\d+,[^;]*;/;
const SYSLOG_HEAD = /^(?:\S+ +\d+ [\d:]+|\d{4}-\d\d-\d\dT\S+) \S+ kernel: /;
const DMESG_HEAD = /^(?:<\d+>)?(?:\[(?: *\d+\.\d+|\w{3} \w{3} +\d+ [\d:]+ \d{4})\](?:\[ *[TC]\d+\])? ?)?/;

/** A folder may have the device node of any machine, which answers with the log of this one. */
const isOfMachine = (tree: HostTree): boolean =>
  !(tree instanceof DirectoryTree) || tree.root === '' || isFile(tree.root + KMSG);

const isFile = (path: string): boolean => lstatSync(path, {throwIfNoEntry: false})?.isFile() ?? false;

/** PRINTK_MESSAGE_MAX with its head (kernel/printk/printk.c, devkmsg_read): a read with less room is EINVAL. */
const RECORD = 8192;

/** Nothing at the end, where the kernel would have the reader wait (EAGAIN); what was overwritten meanwhile (EPIPE) is passed over. */
const record = (at: (offset: number, length: number) => Buffer, offset: number): Buffer => {
  for (;;) {
    try {
      return at(offset, RECORD);
    } catch (error) {
      const {code} = error as NodeJS.ErrnoException;
      if (code === 'EAGAIN') return Buffer.alloc(0);
      if (code !== 'EPIPE') throw error;
    }
  }
};
