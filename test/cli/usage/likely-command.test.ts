import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {commandText, likelyCommand, type CommandShape} from '../../../src/cli/usage/likely-command.js';
import {FLAG_KINDS} from '../../../src/cli/usage/flag-kinds.js';
import {nearest} from '../../../src/nearest.js';
import {needs} from '../../support/needs.js';
import {PROJECT, start} from '../../support/run.js';

const {commands} = JSON.parse(readFileSync(join(PROJECT, 'oclif.manifest.json'), 'utf8')) as {
  commands: Record<string, CommandShape>;
};

/** The likely command of a line of plain words, or null. */
const likely = (line: string): string | null => {
  const argv = likelyCommand(line.split(' '), Object.values(commands));
  return argv === null ? null : commandText(argv).replace(/^kvfio /, '');
};

describe('the command that was likely meant', () => {
  const ROWS: Record<string, readonly (readonly [line: string, meant: string])[]> = {
    'a command': [
      ['group', 'groups'],
      ['grups', 'groups'],
      ['Groups', 'groups'],
      ['GROUPS --json', 'groups --json'],
      ['list', 'groups'],
      ['ls --csv', 'groups --csv'],
      ['atach --pid 7 --group 12', 'attach --pid 7 --group 12'],
      ['wbinvd-prob', 'wbinvd-probe'],
      ['wbinvd', 'probe'],
      ['snap machine.json', 'snapshot machine.json'],
      ['ps', 'vms'],
      ['version', '--version'],
      ['-V', '--version'],
      ['--verison', '--version'],
      ['--hepl', '--help'],
      ['help grups', 'help groups'],
    ],
    'a flag': [
      ['groups --colums address', 'groups --columns address'],
      ['groups --no-colour', 'groups --no-color'],
      ['groups --expl', 'groups --explain'],
      ['bind --device 00:04.0 --dryrun', 'bind --device 00:04.0 --dry-run'],
      ['bind --device 00:04.0 --dry_run', 'bind --device 00:04.0 --dry-run'],
      ['attach --vm-socket /run/x --group 12', 'attach --vm-sock /run/x --group 12'],
      ['attach --vm-socket=/run/x --group 12', 'attach --vm-sock=/run/x --group 12'],
      ['detach -p 4711 -g 12', 'detach --pid 4711 -g 12'],
      ['groups --output json', 'groups --json'],
      ['groups --format=csv', 'groups --csv'],
      ['groups -o json', 'groups --json'],
    ],
    'a flag before the command': [
      ['--json groups --group 12', 'groups --json --group 12'],
      ['--group 12 groups', 'groups --group 12'],
      ['--no-color --json vms', 'vms --no-color --json'],
    ],
    'a value': [
      ['groups --class GPU', 'groups --class gpu'],
      ['groups --class vga', 'groups --class gpu'],
      ['groups --snoop notenforced', 'groups --snoop not-enforced'],
      ['lab --iommu intell -- true', 'lab --iommu intel -- true'],
      ['probe --operation wbinv', 'probe --operation wbinvd'],
      ['status --pid 1 --expect noncoherent', 'status --pid 1 --expect non-coherent'],
      ['doctor --for pass', 'doctor --for passthrough'],
      ['probe --samples 1e6', 'probe --samples 1000000'],
      ['probe --duration 10s', 'probe --duration 10'],
      ['probe --duration 1m', 'probe --duration 60'],
    ],
    'a list': [
      ['bind --group 12,13', 'bind --group 12 --group 13'],
      ['attach --vm-sock=/run/x --group 12,13', 'attach --vm-sock=/run/x --group 12 --group 13'],
      ['bind --group=12 13', 'bind --group=12 --group 13'],
      ['bind --device 01:00.0,01:00.1', 'bind --device 01:00.0 --device 01:00.1'],
      ['probe --operation wbinv,cpuid', 'probe --operation wbinvd --operation cpuid'],
      ['groups --columns address, snoop', 'groups --columns address,snoop'],
    ],
    'a flag that needs another': [
      ['vms --interval 5', 'vms --watch --interval 5'],
      ['probe --pid 1', 'probe --against --pid 1'],
    ],
    'an argument': [
      ['completion bsh', 'completion bash'],
      ['help attach detac', 'help attach detach'],
    ],
    'a word that follows no flag': [
      ['groups 12', 'groups --group 12'],
      ['bind 0000:00:04.0', 'bind --device 0000:00:04.0'],
      ['attach 01:00.0 --pid 7', 'attach --pid 7 --cdev 01:00.0'],
      ['status 4711', 'status --pid 4711'],
      ['attach 4711 12', 'attach --pid 4711 --group 12'],
      ['attach --vm-sock /run/x 11 12', 'attach --vm-sock /run/x --group 11 --group 12'],
      ['status /run/vm.sock', 'status --vm-sock /run/vm.sock'],
      ['doctor attach', 'doctor --for attach'],
      ['groups gpu', 'groups --class gpu'],
      ['lab kvfio groups --json', 'lab -- kvfio groups --json'],
      ['lab --iommu amd lspci -k', 'lab --iommu amd -- lspci -k'],
    ],
  };
  for (const [kind, rows] of Object.entries(ROWS)) {
    for (const [line, meant] of rows) {
      it(`mends ${kind}: kvfio ${line}`, () => {
        assert.equal(likely(line), meant);
      });
    }
  }

  for (const line of [
    'groups',
    'groups --json --csv',
    'attach --vm-sock=/run/x --group 1',
    'frobnicate',
    'groups --frobnicate',
    'groups -o wide',
    'groups --group',
    'attach --vm-sock --group 12',
    'bind --group twelve',
    'bind --group 99999999999999999999',
    'vms frobnicate',
    'add create',
  ]) {
    it(`is unknown where nothing is near, or nothing is to be mended: kvfio ${line}`, () => {
      assert.equal(likely(line), null);
    });
  }

  it('mends one wrong letter, one that is missing and one too many in each command and flag', () => {
    for (const {id, flags} of Object.values(commands)) {
      for (const [name, all] of [
        [id, Object.keys(commands)],
        ...Object.keys(flags).map((flag) => [flag, Object.keys(flags)] as const),
      ] as const) {
        if (name.length < 5) continue;
        for (const typed of [name.slice(0, -1), `${name}x`, name.replace(/^(.)(.)/, '$1q')])
          assert.ok(all.includes(typed) || nearest(typed, all) !== undefined, `${id}: ${typed}`);
      }
    }
  });

  it('knows what each flag takes, whatever its help calls it', () => {
    const taking = Object.values(commands).flatMap(({flags}) =>
      Object.values(flags).filter(({type, options}) => type === 'option' && options === undefined),
    );
    assert.deepEqual([...new Set(taking.map(({name}) => name))].sort(), Object.keys(FLAG_KINDS).sort());
  });

  it('is written as a shell takes it', () => {
    assert.equal(
      commandText(['lab', '--', 'sh', '-c', "echo 'a b'"]),
      "kvfio lab -- sh -c 'echo '\\''a b'\\'''",
    );
  });
});

describe('a wrong command line', function () {
  this.timeout(60_000);
  before(function () {
    needs(this, 'build');
  });

  it('is answered with what is wrong and the whole likely command, and executes nothing', () => {
    const {exit, stdout, stderr} = start(['bind', '0000:00:04.0']);
    assert.deepEqual([exit, stdout], [2, '']);
    assert.deepEqual(stderr.split('\n').slice(1), [
      '  "0000:00:04.0" is a PCI address that follows no flag.',
      '  Did you mean "kvfio bind --device 0000:00:04.0"?',
      '',
    ]);
  });

  it('has the likely command as the hint of its JSON', () => {
    const {exit, stdout} = start(['--json', 'groups', '--group', '12']);
    const {error} = JSON.parse(stdout) as {error: {message: string; hint: string}};
    assert.equal(exit, 2);
    assert.match(error.message, /--json stands before the command\.$/);
    assert.equal(error.hint, 'Did you mean "kvfio groups --json --group 12"?');
  });

  it('is not a list after a flag that has its value', () => {
    const {exit, stderr} = start(['groups', '--group=12', '13']);
    assert.equal(exit, 2);
    assert.match(
      stderr,
      /"13" is a number that follows no flag\.\n {2}Did you mean "kvfio groups --group=12 --group 13"\?/,
    );
  });

  it('keeps the command that a guest is to run', () => {
    const {stderr} = start(['lab', '--timeout', '1s', '--', 'true']);
    assert.match(stderr, /Did you mean "kvfio lab --timeout 1 -- true"\?/);
  });

  it('may name a column that is near to one', () => {
    assert.match(start(['groups', '--columns', 'adress']).stderr, /Did you mean "address"\?/);
  });

  it('names the help of its command where nothing is near', () => {
    assert.match(
      start(['groups', '--frobnicate']).stderr,
      /Run "kvfio groups --help" to see what it takes\./,
    );
  });
});
