import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import type {WatchLine} from '../../src/watch/watch-line.js';
import {lab} from '../support/lab.js';
import {made} from '../support/made.js';
import {documentOf} from '../support/schema.js';
import {scratch} from '../vm/vmm.js';

/** How often the device loses its driver and gets it back. */
const ROUNDS = 300;

/** Changes the driver of a device as quickly as the kernel can, then takes the device away and finds it again. */
const SCRIPT = `
out=$KVFIO_LAB_OUT
device=$(kvfio groups --driver vfio-pci --columns address --no-header 2> /dev/null)
echo "$device" > $out/device
kvfio watch --json > $out/lines 2> $out/errors & watcher=$!
until grep -q '"ready"' $out/lines; do sleep 0.1; done
cd /sys/bus/pci/drivers/vfio-pci
round=0
while [ $round -lt ${ROUNDS} ]; do
  echo $device > unbind; echo $device > bind
  round=$((round + 1))
done
cd /sys/bus/pci
echo 1 > devices/$device/remove
until grep '"device"' $out/lines | grep -q '"gone"'; do sleep 0.1; done
echo 1 > rescan
until grep '"device"' $out/lines | grep -q '"appeared"'; do sleep 0.1; done
kill -INT $watcher; wait $watcher
echo $? > $out/exit
`;

describe('kvfio watch in a guest whose device changes its driver and goes', () => {
  let address: string;
  let exit: string;
  let errors: string;
  /** What is said after `ready`. */
  let changes: WatchLine[];

  made(async function () {
    this.timeout(300_000);
    const folder = scratch();
    const {exitCode, stderr} = await lab(this, {
      iommu: 'intel-snoop',
      out: folder.path(''),
      task: {script: SCRIPT},
    });
    assert.equal(exitCode, 0, stderr.toString());
    const read = (name: string): string => readFileSync(folder.path(name), 'utf8').trim();
    [address, exit, errors] = [read('device'), read('exit'), read('errors')];
    const lines = read('lines')
      .split('\n')
      .map((line) => documentOf<WatchLine>(line, 'watch'));
    changes = lines.slice(lines.findIndex(({event}) => event === 'ready') + 1);
    return folder;
  });

  it('reports each change of the driver once, in order, with the number of its message', () => {
    const drivers = changes.filter(
      ({device, sequence, changes: [change]}) =>
        device?.address === address && sequence !== null && change?.field === 'driver',
    );
    const [unbound, bound] = [
      {field: 'driver', before: 'vfio-pci', after: null},
      {field: 'driver', before: null, after: 'vfio-pci'},
    ];
    assert.deepEqual(
      drivers.map(({changes: [change]}) => change),
      // it loses its driver once more when it goes
      [...Array.from({length: ROUNDS}, () => [unbound, bound]).flat(), unbound],
    );
    const numbers = drivers.map(({sequence}) => sequence ?? 0);
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
    );
    assert.equal(changes.filter(({event}) => event === 'lost').length, 0);
  });

  it('reports the device that goes, with its group, and the one that is found again', () => {
    const gone = changes.findIndex(({event, device}) => event === 'gone' && device?.address === address);
    const group = changes[gone]?.device?.group;
    assert.ok(typeof group === 'number');
    assert.ok(changes.slice(gone).some((line) => line.event === 'gone' && line.group?.group === group));
    const found = changes.slice(gone).find((line) => line.event === 'appeared' && line.device !== null);
    assert.deepEqual(
      [found?.device?.address, found?.device?.snoop, typeof found?.device?.group],
      [address, 'enforced', 'number'],
    );
  });

  it('ends in peace, and has nothing to warn of', () => {
    assert.deepEqual([exit, errors], ['0', '']);
  });
});
