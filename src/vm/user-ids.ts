import {readFileSync} from 'node:fs';
import {orNull} from '../linux/errno.js';

/**
 * Whether a user id stands for one user. In a user namespace all users that it does not map read as one id, which is 65534
 * unless /proc/sys/kernel/overflowuid says otherwise (from_kuid_munged in kernel/user_namespace.c).
 */
export const isOneUser = (uid: number): boolean => uid !== overflowUid() || mapsAllUsers();

const overflowUid = (): number =>
  Number(orNull(() => readFileSync('/proc/sys/kernel/overflowuid', 'utf8')) ?? 65_534);

/** A kernel without user namespaces has no such file. */
const mapsAllUsers = (): boolean => {
  const text = orNull(() => readFileSync('/proc/self/uid_map', 'utf8'));
  return text === null || mapsAll(text);
};

/** Whether the text of a /proc/PID/uid_map maps all ids (user_namespaces(7)): these are 4294967295, as the last, -1, is nobody's. */
export const mapsAll = (text: string): boolean => /^\s*0\s+\d+\s+4294967295\s*$/.test(text);
