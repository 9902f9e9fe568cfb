import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {interfaceAddresses, parseAddresses} from '../../../src/linux/socket/interface-addresses.js';
import {needs} from '../../support/needs.js';

interface IpLink {
  ifindex: number;
  addr_info: {local: string; prefixlen: number; scope: string}[];
}

describe('addresses of network interfaces', () => {
  it('are those that ip(8) shows', function () {
    needs(this, 'ip');
    const {stdout} = spawnSync('ip', ['-json', 'address'], {encoding: 'utf8'});
    const expected = (JSON.parse(stdout) as IpLink[]).flatMap(({ifindex, addr_info}) =>
      addr_info.map(({local, prefixlen, scope}) => `${ifindex} ${local}/${prefixlen} ${scope === 'link'}`),
    );
    const found = interfaceAddresses().map(
      ({index, address, linkLocal}) => `${index} ${address} ${linkLocal}`,
    );
    assert.deepEqual(found.sort(), expected.sort());
    assert.ok(found.length > 0);
  });

  it('are those of the near end of a point-to-point link', () => {
    const attribute = (type: number, bytes: number[]): Buffer => {
      const head = Buffer.alloc(4);
      head.writeUInt16LE(4 + bytes.length, 0);
      head.writeUInt16LE(type, 2);
      return Buffer.concat([head, Buffer.from(bytes)]);
    };
    const body = Buffer.concat([
      Buffer.from([2, 32, 0, 0, 7, 0, 0, 0]),
      attribute(1, [192, 0, 2, 2]),
      attribute(2, [192, 0, 2, 1]),
    ]);
    const header = Buffer.alloc(16);
    header.writeUInt32LE(16 + body.length, 0);
    header.writeUInt16LE(20, 4);
    const done = Buffer.alloc(16);
    done.writeUInt32LE(16, 0);
    done.writeUInt16LE(3, 4);
    assert.deepEqual(parseAddresses(Buffer.concat([header, body, done])), {
      addresses: [{index: 7, address: '192.0.2.1/32', linkLocal: false}],
      done: true,
    });
  });

  it('are none in a damaged answer', () => {
    for (const size of [0, 3, 16, 40]) assert.deepEqual(parseAddresses(Buffer.alloc(size)).addresses, []);
  });
});
