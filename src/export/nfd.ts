import {printable} from '../printable.js';
import type {Format} from './format.js';
import {kindsOf} from './kinds.js';
import {nodeLabels, statedGroups, type StatedGroup} from './node-labels.js';
import type {Reading} from './reading.js';
import {unreadOf} from './unread-counts.js';

/** Bytes; NFD ignores a larger file (MaxFeatureFileSize in its source/local/local.go). */
const LARGEST = 65_536;

/** Room for the lines about what is left out, which are written last, in bytes. */
const RESERVED = 256;

/** Seconds after which NFD drops what is in the file, as when nothing keeps it fresh any more. */
const EXPIRY = 3600;

/** Characters of a sentence that fit a comment. */
const SENTENCE = 500;

/**
 * A feature file of the local source of NFD: labels of the node, and features that are no labels, for rules. What is no label has a
 * directive before it, which NFD knows since 0.15; an older one makes labels of it, so it has the syntax of labels.
 */
export const nfd: Format = {
  summary: 'labels of a node of Kubernetes, for node-feature-discovery (NFD)',
  place: '/etc/kubernetes/node-feature-discovery/features.d/kvfio',
  parts: ['holders'],
  mark: '# Written by "kvfio export nfd".\n',
  pieces: function* (reading) {
    const stated = statedGroups(reading);
    const head = headOf(reading, stated);
    yield head;
    const lines = [...modelLines(stated), ...stated.map(groupLine)];
    const kept = fitting(lines, LARGEST - RESERVED - Buffer.byteLength(head));
    yield* lines.slice(0, kept);
    if (kept < lines.length)
      yield `# Left out: ${lines.length - kept} of ${lines.length} features, since NFD ignores a file of more than ${LARGEST} bytes.\n${feature('kvfio-left-out.count', lines.length - kept)}`;
  },
};

const headOf = (reading: Reading, stated: readonly StatedGroup[]): string => {
  const {time, kvfioVersion, unread} = reading;
  const {fileCount, hiddenProcesses} = unreadOf(reading);
  const labels = Object.entries(nodeLabels(reading, stated)).map(([name, value]) => `${name}=${value}\n`);
  return [
    nfd.mark,
    `# kvfio ${kvfioVersion} has read this host at ${dateOf(time)}.\n`,
    `# +expiry-time=${dateOf(time + EXPIRY)}\n`,
    ...labels,
    ...unread.map(({part, reason}) => `# Not read: ${part}. ${printable(reason).slice(0, SENTENCE)}\n`),
    ...unread.map(({part}) => feature(`kvfio-unread.${part}`, true)),
    feature('kvfio-unread.files.count', fileCount),
    hiddenProcesses === null ? '' : feature('kvfio-unread.processes.count', hiddenProcesses),
  ].join('');
};

/** RFC 3339, in whole seconds. */
const dateOf = (seconds: number): string =>
  `${new Date(Math.floor(seconds) * 1000).toISOString().slice(0, -'.000Z'.length)}Z`;

/** How many groups with a model of device are ready, by its numbers. */
const modelLines = (stated: readonly StatedGroup[]): string[] => {
  const counts = new Map<string, number>();
  for (const {group, state} of stated) {
    if (state !== 'ready') continue;
    const models = group.devices.flatMap(({vendorId, deviceId}) =>
      vendorId === null || deviceId === null ? [] : [`${vendorId}-${deviceId}`],
    );
    for (const model of new Set(models)) counts.set(model, (counts.get(model) ?? 0) + 1);
  }
  return [...counts].map(([model, count]) => feature(`kvfio-ready.${model}.count`, count));
};

/** `kvfio-group.12=ready.gpu.audio` */
const groupLine = ({group: {group, devices}, state}: StatedGroup): string =>
  feature(`kvfio-group.${group}`, [state, ...new Set(devices.flatMap(kindsOf))].join('.'));

const feature = (name: string, value: string | number | boolean): string => `# +no-label\n${name}=${value}\n`;

/** How many of the texts fit into so many bytes; all of them are ASCII. */
const fitting = (texts: readonly string[], bytes: number): number => {
  let left = bytes;
  const last = texts.findIndex((text) => (left -= text.length) < 0);
  return last === -1 ? texts.length : last;
};
