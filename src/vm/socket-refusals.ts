import type {FailureKind} from '../failure.js';

/** Why the kernel does not accept or find a socket, and what to do, by the name of its error. */
export type SocketRefusals = Readonly<Record<string, [kind: FailureKind, why: string, hint: string]>>;

/** What an address can be wrong in, whoever uses it (unix(7)). */
export const ADDRESS_REFUSALS: SocketRefusals = {
  ENOTDIR: ['notFound', 'A part of its path is not a folder.', 'Name another socket.'],
  ENAMETOOLONG: [
    'usage',
    'The address is longer than 107 bytes.',
    'Change to its folder and name it relatively.',
  ],
  EINVAL: [
    'usage',
    'The address is empty or has a NUL.',
    'Name a path, or an abstract name that begins with @.',
  ],
};
