import {readSync, writeSync} from 'node:fs';
import {Descriptor} from '../descriptor.js';
import {SyscallError} from '../errno.js';
import {syscall} from '../libc.js';

const AF_INET = 2;
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_ROUTE = 0;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const NLM_F_REQUEST_DUMP = 0x301;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const SIZEOF_NLMSGHDR = 16;
const SIZEOF_IFADDRMSG = 8;
/** enum rt_scope_t */
const RT_SCOPE_LINK = 253;

export interface InterfaceAddress {
  /** Number of the interface, as in /sys/class/net/NAME/ifindex. */
  index: number;
  /** The address with the length of its prefix: `192.0.2.1/24`. */
  address: string;
  /** Valid on this link only, as every IPv6 interface has one. */
  linkLocal: boolean;
}

/**
 * Addresses of the network interfaces of this process's network namespace, also of those that are down or have no
 * carrier, which getifaddrs() users such as node:os leave out (rtnetlink(7), RTM_GETADDR).
 *
 * @throws {@link SyscallError}
 */
export const interfaceAddresses = (): InterfaceAddress[] => {
  using socket = new Descriptor(
    syscall('socket', [AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE]),
    'rtnetlink',
  );
  const request = Buffer.alloc(SIZEOF_NLMSGHDR + SIZEOF_IFADDRMSG);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt16LE(RTM_GETADDR, 4);
  request.writeUInt16LE(NLM_F_REQUEST_DUMP, 6);
  writeSync(socket.fd, request);
  const found: InterfaceAddress[] = [];
  const datagram = Buffer.alloc(64 * 1024);
  for (;;) {
    const part = parseAddresses(datagram.subarray(0, readSync(socket.fd, datagram)));
    found.push(...part.addresses);
    if (part.done) return found;
  }
};

/** What one datagram of the answer says, and whether it is the last. */
export const parseAddresses = (datagram: Buffer): {addresses: InterfaceAddress[]; done: boolean} => {
  const addresses: InterfaceAddress[] = [];
  let at = 0;
  while (at + SIZEOF_NLMSGHDR <= datagram.length) {
    const length = datagram.readUInt32LE(at);
    if (length < SIZEOF_NLMSGHDR || at + length > datagram.length) break;
    const body = datagram.subarray(at + SIZEOF_NLMSGHDR, at + length);
    const type = datagram.readUInt16LE(at + 4);
    if (type === NLMSG_DONE) return {addresses, done: true};
    if (type === NLMSG_ERROR) throw new SyscallError('rtnetlink', -body.readInt32LE(0));
    if (type === RTM_NEWADDR) addresses.push(...parseAddress(body));
    at += align(length);
  }
  return {addresses, done: datagram.length === 0};
};

const parseAddress = (body: Buffer): InterfaceAddress[] => {
  const [family, prefix, , scope] = body;
  const attributes = new Map<number, Buffer>();
  let at = SIZEOF_IFADDRMSG;
  while (at + 4 <= body.length) {
    const length = body.readUInt16LE(at);
    if (length < 4 || at + length > body.length) break;
    attributes.set(body.readUInt16LE(at + 2), body.subarray(at + 4, at + length));
    at += align(length);
  }
  // on a point-to-point link IFA_ADDRESS is the other end's
  const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  if (bytes === undefined) return [];
  const text = family === AF_INET ? [...bytes].join('.') : ipv6(bytes);
  return [
    {index: body.readUInt32LE(4), address: `${text}/${prefix ?? 0}`, linkLocal: scope === RT_SCOPE_LINK},
  ];
};

const align = (length: number): number => (length + 3) & ~3;

/** An IPv6 address in the form of RFC 5952, which leaves the longest run of zeros out. */
const ipv6 = (bytes: Buffer): string => {
  const words = Array.from({length: 8}, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  const runs = words.join(':').match(/(?:^|:)0(?::0)+(?=:|$)/g) ?? [];
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), '');
  const text = words.join(':');
  if (longest === '') return text;
  const start = text.indexOf(longest);
  return `${text.slice(0, start)}::${text.slice(start + longest.length).replace(/^:/, '')}`;
};
