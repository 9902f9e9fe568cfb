import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import Groups from '../../src/commands/groups.js';
import type {GroupsDocument} from '../../src/groups/groups-document.js';
import {MACHINES} from '../fixtures/machines.js';
import {comparable, parseLspci, type LspciRecord} from '../support/lspci.js';
import {machine, type Machine} from '../support/machine.js';
import {needs} from '../support/needs.js';
import {run} from '../support/run.js';

describe('kvfio groups beside lspci', () => {
  before(function () {
    needs(this, 'lspci');
  });

  for (const [name, spec] of Object.entries(MACHINES)) {
    it(`agrees on every PCI device of a machine with ${name}`, async () => {
      using built = machine(spec);
      assert.deepEqual(await ours(built), theirs(built));
    });
  }
});

const ours = async ({root}: Machine): Promise<LspciRecord[]> => {
  const {stdout} = await run(Groups, ['--json', '--sysroot', root]);
  return comparable(JSON.parse(stdout) as GroupsDocument);
};

const theirs = ({path}: Machine): LspciRecord[] => {
  const {stdout} = spawnSync(
    'lspci',
    [
      ...['-A', 'linux-sysfs', '-O', `sysfs.path=${path('sys/bus/pci')}`],
      // names come from the file alone, not from udev's database, where this machine has one
      ...['-O', 'hwdb.disable=1', '-i', path('usr/share/misc/pci.ids'), '-Dvmmnnk'],
    ],
    {encoding: 'utf8'},
  );
  return parseLspci(stdout);
};
