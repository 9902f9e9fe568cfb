import {lstatSync, readFileSync} from 'node:fs';
import {Failure} from '../failure.js';
import type {Capture} from './capture.js';
import {SyscallError} from '../linux/errno.js';
import type {HostTree} from './tree.js';

/** Where the kernel gives its log, one record a read (Documentation/ABI/testing/dev-kmsg). */
const KMSG = '/dev/kmsg';

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

/**
 * The messages of a log that somebody has kept in a file.
 *
 * @throws {@link Failure} when it cannot be read
 */
export const readLogFile = (path: string): string[] => {
  try {
    return kernelMessages(readFileSync(path, 'utf8'));
  } catch (error) {
    const {code} = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new Failure({
      code: 'LOG_UNREADABLE',
      kind: code === 'EACCES' ? 'permission' : code === 'ENOENT' ? 'notFound' : 'usage',
      what: `The kernel log ${path} cannot be read.`,
      why: code === 'ENOENT' ? 'There is no such file.' : `Reading it is answered ${code}.`,
      hint: 'Give --log a file that "dmesg" or "journalctl -k" has written.',
      ...(code.startsWith('ERR_') ? {} : {errno: code}),
    });
  }
};

/** The messages of a log as /dev/kmsg has it, or as dmesg, journalctl or a file of syslog shows it. */
export const kernelMessages = (text: string): string[] =>
  text.split('\n').flatMap((line) => {
    // what belongs to the record before: its device, and its further lines
    if (line === '' || line.startsWith(' ')) return [];
    return HEADS.reduce((rest, head) => rest.replace(head, ''), line).trim();
  });

/** What stands before a message, in the order in which each may follow another. */
const HEADS = [
  // /dev/kmsg
  /^\d+,\d+,\d+,[^;]*;/,
  // syslog, and journalctl with its --output short, short-iso, short-precise, short-full and short-monotonic
  /^(?:\w{3} +\d+ [\d:.]+|(?:\w{3} )?\d{4}-\d\d-\d\d[T ]\S+(?: [A-Z]\S*)?|\[ *\d+\.\d+\]) \S+ kernel: /,
  // dmesg --decode, --raw
  /^(?:\w+ *:\w+ *: |<\d+>)/,
  // dmesg with its --time-format ctime, iso, reltime and delta
  /^(?:\[(?: *\+?\d+\.\d+|\w{3} ?\w{3} +\d+ [\d:]+(?: \d{4})?|\w{3} ?\d+ \d\d:\d\d)(?: <[ \d.]+>)?\](?:\[ *[TC]\d+\])? ?|\d{4}-\d\d-\d\dT[\d:,.+-]+ )/,
];

/** A folder may have the device node of any machine, which answers with the log of this one. */
const isOfMachine = ({origin}: HostTree): boolean =>
  origin.kind !== 'directory' || isFile(origin.path + KMSG);

/** Cuts a captured log down to messages that `keep` accepts, each a record as of the node. */
export const cutKernelLog = ({parts}: Pick<Capture, 'parts'>, keep: (message: string) => boolean): void => {
  const records = Object.values(parts[KMSG] ?? {})
    .flatMap((hex) => kernelMessages(Buffer.from(hex, 'hex').toString()))
    .filter(keep)
    .map((message) => Buffer.from(`${message}\n`));
  if (parts[KMSG] === undefined) return;
  let offset = 0;
  parts[KMSG] = Object.fromEntries(
    records.map((bytes) => {
      const part = [String(offset), bytes.toString('hex')];
      offset += bytes.length;
      return part;
    }),
  ) as Record<string, string>;
};

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
