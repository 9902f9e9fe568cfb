import type {HostTree} from '../../../host/tree.js';
import {treeText} from './guard.js';

/**
 * How many established TCP connections have one of these addresses at this end, such as that of the ssh which kvfio was
 * started through.
 *
 * @param addresses as text, without a length of their prefix
 */
export const connectionsOf = (tree: HostTree, addresses: readonly string[]): number => {
  if (addresses.length === 0) return 0;
  const wanted = new Set(
    addresses.map(inHexadecimal).flatMap((hex) => (hex.length === IPV4 ? [hex, `${MAPPED}${hex}`] : [hex])),
  );
  return ['/proc/net/tcp', '/proc/net/tcp6']
    .flatMap((path) => (treeText(tree, path) ?? '').split('\n').slice(1))
    .filter((line) => {
      const [, local = '', , state] = line.trim().split(/\s+/);
      return state === ESTABLISHED && wanted.has(local.replace(/:.*/, ''));
    }).length;
};

/** Digits of an IPv4 address. */
const IPV4 = 8;

/** Prefix of an IPv4 address in /proc/net/tcp6, which has the connections of a socket that listens for both (::ffff:0:0/96). */
const MAPPED = '0000000000000000FFFF0000';

/** TCP_ESTABLISHED (include/net/tcp_states.h). */
const ESTABLISHED = '01';

/** An address in the form of /proc/net/tcp: words of 32 bits in the byte order of this machine (net/ipv4/tcp_ipv4.c, get_tcp4_sock). */
const inHexadecimal = (address: string): string => {
  const bytes = address.includes(':') ? ipv6Bytes(address) : address.split('.').map(Number);
  const words = Array.from({length: bytes.length / 4}, (_, index) =>
    bytes.slice(4 * index, 4 * index + 4).reverse(),
  );
  return words
    .flat()
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')
    .toUpperCase();
};

const ipv6Bytes = (address: string): number[] => {
  const [head = '', tail] = address.split('::');
  const wordsOf = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((word) => parseInt(word, 16));
  const [first, last] = [wordsOf(head), wordsOf(tail ?? '')];
  const zeros = tail === undefined ? [] : Array<number>(8 - first.length - last.length).fill(0);
  return [...first, ...zeros, ...last].flatMap((word) => [word >> 8, word & 0xff]);
};
