import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import {join} from 'node:path';
import {Failure} from '../../failure.js';
import {parsePciAddress} from '../../pci/address.js';
import {pause} from '../../linux/pause.js';
import {whoLocked, type LockHolder} from '../../linux/lock/process-lock.js';
import type {Binding, BindTarget} from './binding.js';
import {tryLock} from './try-lock.js';

/** Where journals and locks lie: they are about this boot only, and gone with it. */
export const BIND_FOLDER = '/run/kvfio/bind';

/** A device of a transaction and what it was before kvfio touched it. */
export interface JournalDevice extends BindTarget {
  group: number | null;
  original: Binding;
  /** Module of its original driver, to be loaded should it be gone; null for none, or one that is built in. */
  module: string | null;
}

/** A group's node that was there before the transaction gave it to a user. */
export interface JournalNode {
  path: string;
  /** Device number, as stat(2) has it: another group's node may come to have the name. */
  device: number;
  uid: number;
}

/**
 * A transaction as it stands on disk.
 *
 * `open` while it is under way, and for ever when that was cut short: then `unbind --recover` gives every device what
 * `original` says. `done` is a bind that came to its end, kept for the unbind that returns the devices.
 */
export interface JournalEntry {
  kvfioJournal: 1;
  /** Orders the entries of one boot. */
  id: string;
  command: 'bind' | 'unbind';
  state: 'open' | 'done';
  /** /proc/sys/kernel/random/boot_id: drivers and overrides do not outlast a boot. */
  boot: string;
  pid: number;
  /**
   * Addresses of all devices that it is about, also of those that keep their driver: the ones it has locked, and the
   * others of groups whose node it gives away.
   */
  members: string[];
  devices: JournalDevice[];
  nodes: JournalNode[];
}

/** Called after each change of a file. */
export type Observer = (did: string) => void;

interface JournalOptions {
  observe?: Observer;
  /** Milliseconds to wait for a process that reads or writes journals. */
  patience?: number;
}

/**
 * The journals in a folder of this machine. Only root may look into it.
 *
 * All processes share the folder, whichever devices they have locked, so each reads and writes it under a lock of its
 * own: an entry is about several devices, and a folder that is read while files come and go may not show one of them.
 */
export class Journal {
  readonly #folder: string;
  readonly #observe: Observer;
  readonly #patience: number;

  constructor(folder: string, {observe = () => undefined, patience = 10_000}: JournalOptions = {}) {
    this.#folder = folder;
    this.#observe = observe;
    this.#patience = patience;
  }

  /**
   * Makes the folder, and removes what nobody will finish writing.
   *
   * @throws {@link Failure} when the folder cannot be made
   */
  prepare(): void {
    try {
      mkdirSync(join(this.#folder, '..'), {recursive: true, mode: 0o755});
      mkdirSync(this.#folder, {recursive: true, mode: 0o700});
      requirePrivate(this.#folder);
      this.#alone(() => {
        // who writes has the lock: these are of processes that were killed, before they changed anything
        const names = new Set(readdirSync(this.#folder));
        for (const name of names) {
          const isLeft = name.endsWith('.room') && !names.has(`${name.split('.')[0] ?? ''}.json`);
          if (name.endsWith('.tmp') || isLeft)
            rmSync(join(this.#folder, name), {force: true, recursive: true});
        }
      });
    } catch (error) {
      throw error instanceof Failure ? error : notWritten(this.#folder, error);
    }
  }

  /** The lock file of a device, or of whatever else has a name. */
  lockPath(name: string): string {
    return join(this.#folder, `${name}.lock`);
  }

  /**
   * Entries in the order in which they were begun.
   *
   * @param about addresses of the devices in question; by default all
   * @throws {@link Failure} when one is damaged that may be about such a device: it says what the device was, which nobody can
   * guess
   */
  entries(about?: readonly string[]): JournalEntry[] {
    // the reading reports a folder that is missing or may not be looked into
    return this.#alone(() => this.#entries(about), {unlocked: true});
  }

  /** Why each damaged entry cannot be read. */
  damaged(): Failure[] {
    return this.#alone(() => this.#names().flatMap((name) => this.#read(name, []).damage ?? []), {
      unlocked: true,
    });
  }

  /**
   * Writes an entry, and reserves the room that its end needs: a file system that is full by then would leave devices changed
   * and the entry open. When this returns the entry is on disk whole, and a power cut in between leaves none.
   *
   * @throws {@link Failure} when it cannot be written
   */
  begin(entry: JournalEntry): void {
    this.#alone(() => {
      const texts = [entry, ...this.#about(entry)].map((each) => textOf(each));
      const room = Buffer.alloc(Math.max(...texts.map(({length}) => length)), ' ');
      try {
        texts.forEach((_, number) => {
          this.#put(this.#room(entry, number), room);
        });
        this.#write(entry, null);
      } catch (error) {
        this.#removeRooms(entry);
        throw error;
      }
    });
  }

  /**
   * Ends an entry: it is kept as `done`, or is removed. What its devices were before by other entries does not matter any more.
   *
   * @throws {@link Failure} when the kernel does not let that be written
   */
  end(entry: JournalEntry, then: 'done' | 'removed'): void {
    this.#alone(() => {
      let rooms = 0;
      const rewrite = (each: JournalEntry): void => {
        this.#write(each, this.#room(entry, rooms++));
      };
      for (const other of this.#about(entry)) {
        const devices = without(other, entry);
        if (devices.length === 0) this.#remove(other);
        else rewrite({...other, devices});
      }
      if (then === 'removed') this.#remove(entry);
      else rewrite({...entry, state: 'done'});
      this.#removeRooms(entry);
    });
  }

  remove(entry: JournalEntry): void {
    this.#alone(() => {
      this.#remove(entry);
    });
  }

  /**
   * Does work while no other process is at the journals. It takes milliseconds, so it is waited for in place.
   *
   * @param options.unlocked whether to work all the same where the lock cannot be opened
   */
  #alone<T>(work: () => T, {unlocked = false} = {}): T {
    const path = this.lockPath('.journal');
    for (let waited = 0; ; waited += PAUSE) {
      const lock = tryLock(path);
      if (lock instanceof Failure && !unlocked) throw lock;
      if (lock !== null) {
        try {
          return work();
        } finally {
          if (!(lock instanceof Failure)) lock[Symbol.dispose]();
        }
      }
      if (waited >= this.#patience) throw busy(this.#folder, whoLocked(path));
      pause(PAUSE);
    }
  }

  #entries(about?: readonly string[]): JournalEntry[] {
    return this.#names()
      .flatMap((name) => this.#read(name, about).entry ?? [])
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** The entries of binds that came to their end, and that are about a device of this one. */
  #about({devices}: JournalEntry): JournalEntry[] {
    return this.#entries(devices.map(({address}) => address)).filter(
      ({state, devices: theirs}) =>
        state === 'done' && theirs.some(({path}) => devices.some((device) => device.path === path)),
    );
  }

  /** @param room - a file that holds as much already; null: there must be room for another */
  #write(entry: JournalEntry, room: string | null): void {
    const path = this.#path(entry);
    const temporary = room !== null && existsSync(room) ? room : `${path}.tmp`;
    try {
      this.#put(temporary, Buffer.from(textOf(entry)));
      renameSync(temporary, path);
      this.#observe(`rename it to ${path}`);
      this.#sync();
    } catch (error) {
      rmSync(temporary, {force: true, recursive: true});
      throw error instanceof Failure ? error : notWritten(path, error);
    }
  }

  /** Writes over what a file has, so that no block of it is given back in between. */
  #put(path: string, bytes: Buffer): void {
    try {
      const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
      try {
        for (let written = 0; written < bytes.length;)
          written += writeSync(fd, bytes, written, bytes.length - written, written);
        ftruncateSync(fd, bytes.length);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      throw notWritten(path, error);
    }
    this.#observe(`write ${path}`);
  }

  #remove(entry: JournalEntry): void {
    rmSync(this.#path(entry), {force: true});
    this.#observe(`remove ${this.#path(entry)}`);
    this.#sync();
    this.#removeRooms(entry);
  }

  #room({id}: JournalEntry, number: number): string {
    return join(this.#folder, `${id}.${number}.room`);
  }

  #removeRooms({id}: JournalEntry): void {
    for (const name of readdirSync(this.#folder))
      if (name.startsWith(`${id}.`) && name.endsWith('.room'))
        rmSync(join(this.#folder, name), {force: true, recursive: true});
  }

  #path({id}: JournalEntry): string {
    return join(this.#folder, `${id}.json`);
  }

  #names(): string[] {
    try {
      requirePrivate(this.#folder);
      return readdirSync(this.#folder).filter((name) => name.endsWith('.json'));
    } catch (error) {
      if (error instanceof Failure) throw error;
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw notRead(this.#folder, error);
    }
  }

  /** Neither an entry nor a damage when it has been removed meanwhile. */
  #read(name: string, about?: readonly string[]): {entry?: JournalEntry; damage?: Failure} {
    const path = join(this.#folder, name);
    let text = '';
    try {
      text = readFileSync(path, 'utf8');
      const entry: unknown = JSON.parse(text);
      if (isEntry(entry) && `${entry.id}.json` === name) return {entry};
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return {};
      if (!(error instanceof SyntaxError)) throw notRead(path, error);
    }
    const damage = damaged(path);
    if (mayBeAbout(text, about)) throw damage;
    return {damage};
  }

  #sync(): void {
    const fd = openSync(this.#folder, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
}

/**
 * Whether an entry that this kvfio cannot read may be about one of these devices. One that is cut short may be about
 * each, and one that is whole, as a newer kvfio writes it, about those that it names.
 */
const mayBeAbout = (text: string, about: readonly string[] | undefined): boolean => {
  if (about === undefined) return true;
  const named = isJson(text) ? (text.match(/[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]/g) ?? []) : [];
  return about.length > 0 && (named.length === 0 || named.some((address) => about.includes(address)));
};

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

const damaged = (path: string): Failure =>
  new Failure({
    code: 'JOURNAL_DAMAGED',
    kind: 'cannotDecide',
    what: `${path} is not a journal that kvfio can read.`,
    why: 'It is damaged, or a newer kvfio wrote it, so what its devices were before is not known.',
    hint: 'Return its devices by hand ("kvfio groups --columns address,driver,override"), and remove the file.',
  });

const textOf = (entry: JournalEntry): string => `${JSON.stringify(entry, null, 1)}\n`;

/** The devices of an entry that another one is not about. */
const without = ({devices}: JournalEntry, other: JournalEntry): JournalDevice[] =>
  devices.filter(({path}) => !other.devices.some((device) => device.path === path));

/** @throws {@link Failure} when others may put entries there, which root would follow; or when mkdir(2) left something there that is not a folder */
const requirePrivate = (folder: string): void => {
  requireKept(join(folder, '..'));
  const {uid, mode} = lstatSync(folder);
  const isFolder = (mode & constants.S_IFMT) === constants.S_IFDIR;
  if (isFolder && isTrusted(uid) && (mode & 0o022) === 0) return;
  throw new Failure({
    code: 'JOURNAL_NOT_PRIVATE',
    kind: 'refused',
    what: `${folder} is not a private folder.`,
    why: isFolder
      ? `Others than user ${uid} may write to it (mode ${(mode & 0o7777).toString(8)}), so its entries may be anybody's.`
      : 'It is a link or a file, and kvfio keeps its journals in a folder.',
    hint: `See who made it, and remove it; kvfio makes it anew. "kvfio groups --columns address,driver,override" shows what devices have.`,
  });
};

/** @throws {@link Failure} when others may put another folder in the place of one in here */
const requireKept = (parent: string): void => {
  const {uid, mode} = lstatSync(parent);
  // in a sticky folder only the owner of a file renames it (rename(2))
  if (isTrusted(uid) && ((mode & 0o022) === 0 || (mode & S_ISVTX) !== 0)) return;
  throw new Failure({
    code: 'JOURNAL_NOT_PRIVATE',
    kind: 'refused',
    what: `${parent} is not a folder of root's alone.`,
    why: `Others may write to it (user ${uid}, mode ${(mode & 0o7777).toString(8)}), and so put another folder in the place of the journals.`,
    hint: `Make it root's alone: "chown root ${parent} && chmod 755 ${parent}". Sockets for others may lie in a folder of their own.`,
  });
};

const isTrusted = (uid: number): boolean => uid === 0 || uid === process.geteuid?.();

/** The sticky bit of stat(2), for which Node has no name. */
const S_ISVTX = 0o1000;

/** Its texts become paths of files that root writes to, so nothing is taken on trust. */
const isEntry = (value: unknown): value is JournalEntry => {
  const {kvfioJournal, id, command, state, boot, members, devices, nodes} = fields(value);
  return (
    kvfioJournal === 1 &&
    typeof id === 'string' &&
    typeof boot === 'string' &&
    (command === 'bind' || command === 'unbind') &&
    (state === 'open' || state === 'done') &&
    Array.isArray(members) &&
    members.every((member) => typeof member === 'string' && FILE_NAME.test(member)) &&
    Array.isArray(devices) &&
    devices.every(isDevice) &&
    Array.isArray(nodes) &&
    nodes.every(isNode)
  );
};

const isDevice = (value: unknown): value is JournalDevice => {
  const {address, path, id, original, module} = fields(value);
  const {driver, override} = fields(original);
  return (
    typeof address === 'string' &&
    parsePciAddress(address) !== null &&
    typeof path === 'string' &&
    path.startsWith('/sys/devices/') &&
    !path.includes('/..') &&
    path.endsWith(`/${address}`) &&
    typeof id === 'string' &&
    isNullOr(driver, FILE_NAME) &&
    isNullOr(override, /^[^\n\0]+$/) &&
    isNullOr(module, FILE_NAME)
  );
};

const isNode = (value: unknown): value is JournalNode => {
  const {path, device, uid} = fields(value);
  return (
    typeof path === 'string' &&
    /^\/dev\/vfio\/[\w-]+$/.test(path) &&
    Number.isInteger(device) &&
    Number.isInteger(uid)
  );
};

const FILE_NAME = /^(?!\.)[^/\n\0]+$/;

const isNullOr = (value: unknown, or: RegExp): boolean =>
  value === null || (typeof value === 'string' && or.test(value));

const fields = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

/** Milliseconds. */
const PAUSE = 5;

const busy = (folder: string, holder: LockHolder | null): Failure =>
  new Failure({
    code: 'JOURNAL_BUSY',
    kind: 'timeout',
    what: `The journals in ${folder} are in use.`,
    why: `${holder === null ? 'A process' : `Process ${holder.pid} (${holder.comm})`} reads or writes them and does not come to an end; it may be stopped.`,
    hint: 'Let it go on, or end it, and try again.',
  });

const notWritten = (path: string, error: unknown): Failure =>
  new Failure({
    code: 'JOURNAL_NOT_WRITTEN',
    kind: errnoOf(error) === 'EACCES' ? 'permission' : 'kernelRefused',
    what: `${path} cannot be written.`,
    why: `The kernel answered ${errnoOf(error)}. Without a journal a crash could not be undone.`,
    hint: 'Make room or give access there; /run is usually a file system in memory.',
    errno: errnoOf(error),
    cause: error,
  });

const notRead = (path: string, error: unknown): Failure =>
  new Failure({
    code: 'JOURNAL_NOT_READ',
    kind: errnoOf(error) === 'EACCES' ? 'permission' : 'kernelRefused',
    what: `${path} cannot be read.`,
    why: `The kernel answered ${errnoOf(error)}.`,
    hint:
      errnoOf(error) === 'EACCES'
        ? 'Run kvfio as root.'
        : 'Look what is there: kvfio keeps only files in its folder, and nobody else puts anything there.',
    errno: errnoOf(error),
    cause: error,
  });

const errnoOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'EIO';
