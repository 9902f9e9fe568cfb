import assert from 'node:assert/strict';
import {Config} from '@oclif/core';
import {guardFlags} from '../../../src/cli/flags/bind-flags.js';
import {HELP_MAP, ROUND} from '../../../src/cli/help/help-map.js';
import {needs} from '../../support/needs.js';
import {PROJECT, start} from '../../support/run.js';

describe('kvfio --help', () => {
  before(function () {
    needs(this, 'build');
  });

  it('is one screen of 80 columns and 24 lines, whichever way it is asked for', () => {
    const {exit, stdout} = start(['--help']);
    assert.equal(exit, 0);
    const lines = stdout.trimEnd().split('\n');
    assert.ok(lines.length <= 24, `${lines.length} lines`);
    assert.deepEqual(
      lines.filter((line) => line.length > 80),
      [],
    );
    for (const argv of [['-h'], ['help'], []]) assert.equal(start(argv).stdout, stdout, argv.join(' '));
  });

  it('names every command', async () => {
    const {stdout} = start(['--help']);
    const {commands} = await Config.load(PROJECT);
    for (const {id, hidden, aliases} of commands) {
      if (!hidden && !aliases.includes(id)) assert.match(stdout, new RegExp(`^.{0,30}\\b${id}\\b`, 'm'));
    }
    assert.doesNotMatch(stdout, /^more/m, 'each has its place in the map');
  });

  it('shows a round that is understood as it stands there', async () => {
    const {commands} = await Config.load(PROJECT);
    const known = new Set(HELP_MAP.flatMap(({entries}) => entries.flatMap(([ids]) => ids)));
    for (const [line] of ROUND) {
      const [id = '', ...words] = line.split(' ');
      assert.ok(known.has(id), id);
      const command = commands.find((each) => each.id === id);
      for (const flag of words.filter((word) => word.startsWith('--')))
        assert.ok(command === undefined || Object.hasOwn(command.flags, flag.slice(2)), line);
    }
  });

  it('shows of a command what one needs first, and names what --all shows beside it', () => {
    const headings = ({stdout}: {stdout: string}): string[] => stdout.match(/^[A-Z ]+$/gm) ?? [];
    const brief = start(['vms', '--help']);
    assert.deepEqual(headings(brief), ['USAGE', 'FLAGS', 'DESCRIPTION', 'EXAMPLES']);
    assert.match(brief.stdout, /"--help --all" has more: --columns, [^]*--json/);
    for (const argv of [
      ['vms', '--help', '--all'],
      ['help', 'vms', '--all'],
    ])
      assert.deepEqual(headings(start(argv)), [
        'USAGE',
        'FLAGS',
        'TABLE FLAGS',
        'GLOBAL FLAGS',
        'DESCRIPTION',
        'EXAMPLES',
      ]);
  });

  it('names every flag of a command in its first look', async () => {
    const {commands} = await Config.load(PROJECT);
    // help of help is the map
    for (const {id, flags} of commands.filter((command) => command.id !== 'help')) {
      const {stdout} = start([id, '--help']);
      for (const name of Object.keys(flags)) {
        // the guards of bind are named as one
        const family = name.startsWith('force-') ? '|--force-\\*' : '';
        assert.match(stdout, new RegExp(`--(\\[no-\\])?${name}\\b${family}`), id);
      }
    }
  });
});

describe('the help of bind and unbind', () => {
  it('says what of a disk needs --force-storage, though it be open past its block device', () => {
    const text = guardFlags['force-storage'].description ?? '';
    for (const word of ['LVM', 'RAID', 'ZFS', 'exclusive', 'open', '/dev/nvme0', '/dev/sg0'])
      assert.ok(text.includes(word), word);
  });
});

describe('the examples of a command', () => {
  before(function () {
    needs(this, 'build');
  });

  it('are on one line each, because a shell does not join lines within quotes', () => {
    for (const id of ['doctor', 'vms']) {
      const {stdout} = start([id, '--help']);
      assert.doesNotMatch(stdout, /\\$/m, id);
    }
  });
});
