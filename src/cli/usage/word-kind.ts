import {completePciAddress} from '../../pci/address.js';

export type WordKind = 'number' | 'address' | 'path' | 'word';

/** What a word looks like to the eye of the user. */
export const kindOfWord = (word: string): WordKind => {
  if (/^\d+$/.test(word)) return 'number';
  if (completePciAddress(word) !== null) return 'address';
  if (word.endsWith('.sock')) return 'path';
  return word.startsWith('/') || word.startsWith('./') || word.startsWith('@') ? 'path' : 'word';
};
