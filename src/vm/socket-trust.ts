import {lstatSync, readlinkSync, type Stats} from 'node:fs';
import {dirname, join} from 'node:path';
import {Failure} from '../failure.js';
import {isAbstract} from '../linux/socket/socket-address.js';
import {isOneUser} from './user-ids.js';
import type {VmSource} from './receive-vm.js';
import {trustedUsers} from './trusted-users.js';

/**
 * Throws unless something may be done with a VM, and descriptors be handed to whoever sent it.
 *
 * Anybody can be first to listen at an abstract name, or to make a folder in one that others may write to, and wait
 * there for somebody to bring a VFIO group. So there only root and the user's own processes are trusted.
 */
export const requireTrustedSocket = ({address, peer}: VmSource): void => {
  const trusted = trustedUsers();
  if (trusted.has(peer.uid)) return;
  if (isOneUser(peer.uid) && !isAbstract(address) && isReserved(address, trusted, peer.uid)) return;
  throw new Failure({
    code: 'SOCKET_OF_STRANGER',
    kind: 'refused',
    what: `The VM at ${address} was not touched.`,
    why: isOneUser(peer.uid)
      ? `Process ${peer.pid} of user ${peer.uid} listens there, and another user of this host could have come first.`
      : `Process ${peer.pid} listens there, and this user namespace does not show which user it belongs to.`,
    hint: "Use a socket whose parent folders each belong to root, to you or to the VMM's user, and are writable by their owner only; or name the VM with --pid.",
  });
};

/**
 * Whether only the trusted and the peer can have made anything on the way to a socket, links included. What the peer
 * has counts only where nobody could have made it but whom the trusted let.
 */
const isReserved = (address: string, trusted: ReadonlySet<number>, peer: number): boolean => {
  const way = wayTo(address);
  if (way === null) return false;
  let shared = false; // whether everybody can make something in the folder so far
  for (const stats of way) {
    if (!trusted.has(stats.uid) && (shared || stats.uid !== peer)) return false;
    if (!stats.isDirectory()) continue;
    shared = (stats.mode & WRITABLE) !== 0;
    // without the sticky bit also what the trusted made there can be replaced
    if (shared && (stats.mode & STICKY) === 0) return false;
  }
  return !shared;
};

/** Mode bits of a folder that its group or others may write to. */
const WRITABLE = 0o022;
const STICKY = 0o1000;

/** All folders and symbolic links that the kernel passes, in that order, but not the socket; null when it cannot be followed. */
const wayTo = (address: string): Stats[] | null => {
  const way = [lstatSync('/')];
  const rest = namesOf(address.startsWith('/') ? address : `${process.cwd()}/${address}`);
  let [at, links] = ['/', 0];
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === '..') {
      at = dirname(at);
      way.push(lstatSync(at));
      continue;
    }
    const path = join(at, name);
    const stats = lookAt(path);
    if (stats?.isSymbolicLink() === true) {
      links += 1;
      if (links > MOST_LINKS) return null;
      way.push(stats);
      const target = readlinkSync(path);
      if (target.startsWith('/')) {
        at = '/';
        way.push(lstatSync(at));
      }
      rest.unshift(...namesOf(target));
    } else if (rest.length === 0) {
      return way;
    } else {
      if (stats?.isDirectory() !== true) return null;
      way.push(stats);
      at = path;
    }
  }
  return null;
};

/** The most links that the kernel follows (MAXSYMLINKS in include/linux/namei.h). */
const MOST_LINKS = 40;

const namesOf = (path: string): string[] => path.split('/').filter((name) => name !== '' && name !== '.');

const lookAt = (path: string): Stats | null => {
  try {
    return lstatSync(path);
  } catch {
    return null;
  }
};
