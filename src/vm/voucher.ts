import {statSync} from 'node:fs';
import {isOneUser} from './user-ids.js';
import {orNull} from '../linux/errno.js';
import {Process} from '../linux/proc/process.js';
import type {PeerCredentials} from '../linux/socket/unix-socket.js';
import {trustedUsers} from './trusted-users.js';

/**
 * The process from which kvfio has the VM (it sent it over a socket, or kvfio's user named the process), and the processes that
 * kvfio may stop on its word. Anybody may pass a descriptor of a VM to anybody, so that a process
 * has one does not permit stopping it.
 */
export interface Voucher {
  /** The process that handed the VM out, or that kvfio's user named. */
  pid: number;
  /** Whether kvfio may make this process act, whoever it belongs to. */
  speaksForItself: boolean;
  /** Users whose processes kvfio may make act. */
  users: ReadonlySet<number>;
}

/** The process that listened at a socket. */
export const voucherOfPeer = ({pid, uid}: PeerCredentials): Voucher => ({
  pid,
  speaksForItself: trustedUsers().has(uid),
  users: usersBehind(uid),
});

/** A process that kvfio's user named. */
export const voucherOfProcess = (pid: number): Voucher => {
  const uid = userOf(pid);
  return {pid, speaksForItself: true, users: uid === null ? new Set() : usersBehind(uid)};
};

/** Whether a process may be made to act: one of such a user, which is not about to become another's, or the voucher itself. */
export const vouchesFor = ({pid: itself, speaksForItself, users}: Voucher, pid: number): boolean => {
  if (speaksForItself && pid === itself) return true;
  const uids = orNull(() => new Process(pid).status().uids);
  return uids !== null && uids.length > 0 && uids.every((uid) => users.has(uid));
};

/** Effective user of a process; null when it is gone. One call, for those who are in a hurry. */
export const userOf = (pid: number): number | null =>
  statSync(`/proc/${pid}`, {throwIfNoEntry: false})?.uid ?? null;

/** What root or kvfio's own user hands out may be of either; what another user does is their own, or nobody's. */
const usersBehind = (uid: number): ReadonlySet<number> => {
  const trusted = trustedUsers();
  if (trusted.has(uid)) return trusted;
  return new Set(isOneUser(uid) ? [uid] : []);
};
