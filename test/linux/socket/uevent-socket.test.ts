import assert from 'node:assert/strict';
import {writeFileSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import {parseUevent, UeventSocket} from '../../../src/linux/socket/uevent-socket.js';
import {needs} from '../../support/needs.js';

const message = (...lines: string[]): string => `${lines.join('\0')}\0`;

describe('a message of the kernel about a device', () => {
  it('has an action, a folder and variables, whose values may have an equals sign', () => {
    const uevent = parseUevent(
      message('bind@/devices/pci0000:00/0000:00:01.0', 'ACTION=bind', 'DRIVER=a=b', 'SEQNUM=7'),
    );
    assert.deepEqual(
      [uevent?.action, uevent?.path, uevent?.values.get('DRIVER'), uevent?.values.get('SEQNUM')],
      ['bind', '/devices/pci0000:00/0000:00:01.0', 'a=b', '7'],
    );
  });

  it('is none in the form of udev, of nothing, and of anything else', () => {
    for (const text of ['libudev\0\xfe\xed', '', '\0', 'bind', 'bind@', '@/devices', 'BIND@/devices/x'])
      assert.equal(parseUevent(text), null, JSON.stringify(text));
  });
});

describe('the socket of such messages', () => {
  /** Whose messages nobody acts on. */
  const OWN = '/devices/virtual/mem/null';

  it('has each of a burst, in its order', async function () {
    needs(this, 'root');
    using socket = UeventSocket.open();
    for (let count = 0; count < BURST; count += 1)
      writeFileSync(`/sys${OWN}/uevent`, `change ${UUID} N=${count}`);
    const numbers: (string | undefined)[] = [];
    while (numbers.length < BURST) {
      const {uevents, lost} = socket.receive(100);
      assert.equal(lost, false);
      numbers.push(...uevents.filter(({path}) => path === OWN).map(({values}) => values.get('SYNTH_ARG_N')));
      await sleep(0);
    }
    assert.deepEqual(
      numbers,
      Array.from({length: BURST}, (_, count) => String(count)),
    );
  });

  it('says that messages were lost when there is no room for them, and goes on', async function () {
    needs(this, 'root');
    using socket = UeventSocket.open(4096);
    const change = (): void => {
      writeFileSync(`/sys${OWN}/uevent`, `change ${UUID}`);
    };
    for (let count = 0; count < 100; count += 1) change();
    assert.equal(socket.receive(1000).lost, true);
    change();
    while (!socket.receive(100).uevents.some(({path}) => path === OWN)) await sleep(1);
  });
});

const BURST = 10_000;

/** By which the kernel knows messages that somebody asked it to send (kobject_synth_uevent() in lib/kobject_uevent.c). */
const UUID = 'fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed';
