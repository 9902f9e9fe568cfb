import {readFileSync} from 'node:fs';
import type {Verdict} from '../iommu/snoop-control.js';
import type {Descriptor} from '../linux/descriptor.js';
import {lockByte, unlockByte} from '../linux/lock/byte-lock.js';

/** VFIO's answer about a file when KVM last looked, which is when files are added or deleted. */
export interface CoherencyRecord {
  verdict: Verdict;
  /** How many devices the file stood for, at most {@link MOST_MEMBERS}. */
  members: number;
  /** A digest of the devices' addresses: see {@link fingerprint}. */
  fingerprint: bigint;
}

/**
 * Records on an open file itself VFIO's answer to KVM, as KVM neither shows that nor looks again when devices come or
 * go. The record is a read lock of the open file (F_OFD_SETLK) on one byte whose position says it all. Nothing else locks
 * VFIO's files, /proc/PID/fdinfo shows it, and it lives as long as the open file, in whichever process that is. It takes
 * the place of an earlier record, and leaves every other lock.
 *
 * @throws {@link SyscallError}
 */
export const writeCoherencyRecord = (
  file: Descriptor,
  verdict: Verdict,
  addresses: readonly string[],
): void => {
  const position =
    (fingerprint(addresses) << 16n) |
    (BigInt(Math.min(addresses.length, MOST_MEMBERS)) << 8n) |
    BigInt(VERDICTS.indexOf(verdict) << 4) |
    VERSION;
  for (const former of recordsIn(readFileSync(`/proc/self/fdinfo/${file.fd}`, 'utf8')))
    unlockByte(file, former);
  lockByte(file, position);
};

/** The record on a process's open file; null when there is none, or it cannot be seen. */
export const readCoherencyRecord = (pid: number, fd: number): CoherencyRecord | null => {
  try {
    return parseCoherencyRecord(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'));
  } catch {
    return null;
  }
};

/** The record in the text of a file in /proc/PID/fdinfo (show_fd_locks in fs/locks.c); null when there is none. */
export const parseCoherencyRecord = (text: string): CoherencyRecord | null => {
  const [position] = recordsIn(text);
  if (position === undefined) return null;
  const verdict = verdictIn(position) ?? 'unknown';
  return {verdict, members: Number((position >> 8n) & 0xffn), fingerprint: position >> 16n};
};

/** Positions of the locks that are records. */
const recordsIn = (text: string): bigint[] =>
  [...text.matchAll(/^lock:\s+\d+: OFDLCK\s+ADVISORY\s+READ\s+-?\d+ \S+ (\d+) (\d+)$/gm)]
    .filter(([, from, to]) => from === to)
    .map(([, from]) => BigInt(from ?? 0))
    .filter((position) => (position & 0xfn) === VERSION && verdictIn(position) !== undefined);

const verdictIn = (position: bigint): Verdict | undefined => VERDICTS[Number((position >> 4n) & 0xfn)];

/** 46 bits, so that a position is a positive loff_t, which distinguishes sets of addresses (FNV-1a). */
export const fingerprint = (addresses: readonly string[]): bigint => {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from([...addresses].sort().join(' ')))
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash >> 18n;
};

/** The largest number of devices that a record can hold. */
export const MOST_MEMBERS = 255;

const VERSION = 1n;

const VERDICTS: readonly Verdict[] = ['unknown', 'enforced', 'not-enforced'];
