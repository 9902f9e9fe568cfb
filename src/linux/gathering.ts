import {fstatSync, readFileSync} from 'node:fs';
import type {Descriptor} from './descriptor.js';
import {SyscallError, orNull} from './errno.js';
import {getsockopt, syscall} from './libc.js';
import {PinnedMemory} from './memory.js';

/**
 * Whether a read of an open file waits until it has more than one byte, and so ends with what it has when it is interrupted: a
 * stream socket with SO_RCVLOWAT (sock_rcvlowat in include/net/sock.h), a terminal with VMIN (n_tty_read in drivers/tty/n_tty.c).
 *
 * @throws {@link SyscallError}
 */
export const gathers = ({fd}: Descriptor): boolean => {
  const stats = fstatSync(fd);
  if (stats.isSocket()) {
    const least = Buffer.alloc(4);
    getsockopt(fd, SO_RCVLOWAT, least);
    return least.readInt32LE() > 1;
  }
  return stats.isCharacterDevice() && terminals().has(majorOf(stats.rdev)) && leastOfTerminal(fd) > 1;
};

/** Bytes that a read of a terminal waits for; a line at a time, it has all of that at once. */
const leastOfTerminal = (fd: number): number => {
  const {bytes, at} = new PinnedMemory(SIZEOF_TERMIOS);
  try {
    syscall('ioctl', [fd, TCGETS, at]);
  } catch (error) {
    // one that is hung up has nothing to wait for
    if (error instanceof SyscallError && error.code === 'EIO') return 0;
    throw error;
  }
  return (bytes.readUInt32LE(LFLAG_AT) & ICANON) === 0 ? (bytes[CC_AT + VMIN] ?? 0) : 1;
};

/** Major numbers of terminals. Drivers of other devices may take TCGETS for a request of their own. */
const terminals = (): Set<number> =>
  new Set(
    // a kernel without terminals has no such file
    (orNull(() => readFileSync('/proc/tty/drivers', 'utf8')) ?? '')
      .split('\n')
      .map((line) => Number(line.trim().split(/\s+/).at(-3))),
  );

/** MAJOR() of <sys/sysmacros.h>, as far as the kernel has such numbers. */
const majorOf = (device: number): number => (device >>> 8) & 0xfff;

/** include/uapi/asm-generic/socket.h */
const SO_RCVLOWAT = 18;

/** include/uapi/asm-generic/ioctls.h, termbits.h: struct termios has four flags of 4 bytes, a line discipline, and 19 characters. */
const TCGETS = 0x5401;
const SIZEOF_TERMIOS = 40;
const LFLAG_AT = 12;
const CC_AT = 17;
const ICANON = 2;
const VMIN = 6;
