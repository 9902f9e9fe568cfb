import {parsePciAddress} from '../pci/address.js';
import {printable} from '../printable.js';
import {isTaken} from '../vfio/eligibility/after-binding.js';
import type {Format} from './format.js';
import type {Reading} from './reading.js';
import {unreadOf} from './unread-counts.js';

type Group = Reading['groups']['groups'][number];
type Device = Group['devices'][number];

/** One domain with the devices of each group that a VM can have, to be copied from or attached one by one. */
export const libvirt: Format = {
  summary: 'a domain with a <hostdev> for each device that a VM can have',
  place: null,
  parts: [],
  mark: '<!-- Written by "kvfio export libvirt". -->',
  notes: ({groups: {groups}}) => {
    const leftOut = groups.filter((group) => givenOf(group) === null).length;
    return leftOut === 0
      ? []
      : [
          `${leftOut} of ${groups.length} groups are left out, for no VM can have them, or libvirt has no element for their devices: "kvfio groups --explain" says why.`,
        ];
  },
  pieces: function* (reading) {
    const {groups} = reading.groups;
    yield HEAD;
    let leftOut = 0;
    for (const group of groups) {
      const given = givenOf(group);
      if (given === null) leftOut++;
      else yield* groupPieces(group, given);
    }
    yield `    <!-- left out: ${leftOut} of ${groups.length} groups; not read: ${unreadOf(reading).fileCount} files -->\n`;
    yield '  </devices>\n</domain>\n';
  },
};

/** What a domain has to have by libvirt's schema. */
const HEAD = `<?xml version="1.0" encoding="UTF-8"?>
${libvirt.mark}
<domain type="kvm">
  <name>kvfio-groups</name>
  <memory unit="MiB">1024</memory>
  <os><type>hvm</type></os>
  <devices>
`;

interface Given {
  device: Device;
  /** What is within its `<source>`. */
  source: string;
}

/** What a VM gets of a group; null where it can have none of it. */
const givenOf = (group: Group): Given[] | null => {
  const {verdict, afterBind} = group.assignable;
  if (verdict !== 'yes' && afterBind !== 'yes') return null;
  const devices = group.devices.filter(
    (device) => device.boundToVfio || (verdict !== 'yes' && isTaken(device, group)),
  );
  const given = devices.flatMap((device) => {
    const source = sourceOf(device);
    return source === null ? [] : [{device, source}];
  });
  return given.length === 0 || given.length < devices.length ? null : given;
};

function* groupPieces(group: Group, given: readonly Given[]): Generator<string> {
  const isBound = group.assignable.verdict === 'yes';
  const snoop = `snoop control ${group.snoopControl.verdict.replace('-', ' ')}`;
  const how = isBound ? 'as it is bound now' : 'after it is bound to vfio-pci, which libvirt does';
  yield `    <!-- group ${group.group}: ${snoop}, ${how} -->\n`;
  for (const [at, {device, source}] of given.entries()) {
    const name = [device.vendor, device.device].filter((word) => word !== null).join(' ');
    yield `    <!-- ${comment([device.address, name].join(' '))} -->\n`;
    yield hostdev(source, {alias: `ua-kvfio-group${group.group}-${at}`, isBound, device});
  }
}

const hostdev = (
  source: string,
  {alias, isBound, device: {bus}}: {alias: string; isBound: boolean; device: Device},
): string => {
  const kind =
    bus === 'mdev' ? 'type="mdev" model="vfio-pci"' : `type="pci" managed="${isBound ? 'no' : 'yes'}"`;
  return `    <hostdev mode="subsystem" ${kind}>
      <source>${source}</source>
      <alias name="${alias}"/>
    </hostdev>
`;
};

/** Null for what libvirt has no element for, such as a platform device. */
const sourceOf = ({address, bus}: Device): string | null => {
  if (bus === 'mdev') return UUID.test(address) ? `<address uuid="${address}"/>` : null;
  const pci = bus === 'pci' ? parsePciAddress(address) : null;
  if (pci === null) return null;
  const [domain, busNumber, rest] = address.split(':');
  const [slot, fn] = (rest ?? '').split('.');
  return `<address domain="0x${domain}" bus="0x${busNumber}" slot="0x${slot}" function="0x${fn}"/>`;
};

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** XML cannot have control characters at all, nor these two, nor two hyphens in a comment. */
const comment = (text: string): string =>
  printable(text)
    .replace(/[\ufffe\uffff]/g, '\ufffd')
    .replace(/-(?=-)/g, '- ')
    .trim();
