import {constants} from 'node:os';
import {SyscallError} from '../errno.js';

const AF_UNIX = 1;
/** `sun_path` less the NUL that ends a path, or the one that begins an abstract name. */
const LONGEST = 107;

/** Whether an address is a name of the kernel's and not of a file: `@name`. */
export const isAbstract = (address: string): boolean => address.startsWith('@');

/**
 * `struct sockaddr_un` for a path, or for an abstract name when it begins with `@` (unix(7)). A file whose name
 * begins with that is `./@name`.
 *
 * @param syscall - that the address is for, named in the error
 * @throws {@link SyscallError}; EINVAL when it is empty or has a NUL, ENAMETOOLONG beyond 107 bytes
 */
export const socketAddress = (address: string, syscall: 'bind' | 'connect'): Buffer => {
  const name = Buffer.from(isAbstract(address) ? address.slice(1) : address);
  // an empty path would make the kernel choose a name, and a NUL would end it
  if (name.length === 0 || name.includes(0)) throw new SyscallError(syscall, constants.errno.EINVAL, address);
  if (name.length > LONGEST) throw new SyscallError(syscall, constants.errno.ENAMETOOLONG, address);
  const family = Buffer.from(new Uint16Array([AF_UNIX]).buffer);
  const nul = Buffer.alloc(1);
  return Buffer.concat(isAbstract(address) ? [family, nul, name] : [family, name, nul]);
};
