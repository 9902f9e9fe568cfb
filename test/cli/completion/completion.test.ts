import assert from 'node:assert/strict';
import {spawn, spawnSync} from 'node:child_process';
import {existsSync, readdirSync, writeFileSync} from 'node:fs';
import {Config} from '@oclif/core';
import {completedCommands} from '../../../src/cli/completion/model.js';
import {FLAG_KINDS} from '../../../src/cli/usage/flag-kinds.js';
import Completion from '../../../src/commands/completion.js';
import {Kvm} from '../../../src/kvm/system.js';
import {needs} from '../../support/needs.js';
import {SLOWNESS} from '../../support/pace.js';
import {PROJECT, run, start} from '../../support/run.js';
import {skip} from '../../support/skip.js';
import {scratch} from '../../vm/vmm.js';

/** Keys that insert all completions of the word before the cursor, and what makes a shell print its arguments. */
const SHELLS = {
  bash: {
    start: (folder: string) => ['bash', '--noprofile', '--rcfile', `${folder}/rc`, '-i'],
    rc: (script: string) =>
      `${script}\nbind 'set enable-bracketed-paste off'\nbind 'set keyseq-timeout 5000'\nkvfio() { printf 'ARG<%s>' "$@"; echo DONE; }\nPS1='READY> '\n`,
    all: '\u001b*',
  },
  zsh: {
    start: () => ['zsh', '-d', '-i'],
    rc: (script: string) => `autoload -U compinit && compinit -u -D
${script}
zle -C all-matches complete-word _generic
bindkey '^[*' all-matches
zstyle ':completion:all-matches::::' completer _all_matches _complete
zstyle ':completion:all-matches:*' insert true
KEYTIMEOUT=500
unsetopt beep zle_bracketed_paste
kvfio() { printf 'ARG<%s>' "$@"; echo DONE; }
PS1='READY> '
`,
    all: '\u001b*',
  },
} as const;

type Shell = keyof typeof SHELLS;

/** Types into a shell on a terminal of its own and returns the arguments that the line then has. */
const typed = async (shell: Shell, script: string, keys: string): Promise<string[]> => {
  using folder = scratch();
  const {rc} = SHELLS[shell];
  writeFileSync(folder.path('rc'), rc(script));
  writeFileSync(folder.path('.zshrc'), rc(script));
  const command = SHELLS[shell].start(folder.path('.')).join(' ');
  const child = spawn('script', ['--quiet', '--flush', '--return', '--command', command, '/dev/null'], {
    env: {...process.env, TERM: 'dumb', ZDOTDIR: folder.path('.'), HOME: folder.path('.'), COLUMNS: '4000'},
    cwd: folder.path('.'),
  });
  let output = '';
  const until = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (output.includes(text)) resolve();
      };
      child.stdout.on('data', look);
      child.once('exit', () => {
        reject(new Error(`${shell} ended: ${output}`));
      });
      look();
    });
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const limit = setTimeout(() => child.kill('SIGKILL'), 25_000 * SLOWNESS);
  try {
    await until('READY> ');
    child.stdin.write(`stty cols 4000; ${shell === 'bash' ? ':' : 'true'}\r`);
    output = '';
    await until('READY> ');
    child.stdin.write(`${keys}\r`);
    await until('DONE');
  } finally {
    clearTimeout(limit);
    child.kill('SIGKILL');
  }
  return [...output.matchAll(/ARG<([^>]*)>/g)].map(([, argument = '']) => argument);
};

const listed = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder).sort() : []);

/** Addresses, and the interfaces and disks that have a device. */
const namedDevices = (): string[] =>
  [
    ...listed('/sys/bus/pci/devices'),
    ...['/sys/class/net', '/sys/class/block'].flatMap((folder) =>
      listed(folder).filter((name) => existsSync(`${folder}/${name}/device`)),
    ),
  ].sort();

for (const shell of ['bash', 'zsh'] as const) {
  describe(`completion of ${shell}`, function () {
    this.timeout(60_000);
    let script: string;
    before(async function () {
      needs(this, shell, 'script', 'build');
      ({stdout: script} = await run(Completion, [shell]));
    });

    const {all} = SHELLS[shell];
    const lines = (table: readonly (readonly [string, readonly string[]])[]): void => {
      for (const [keys, expected] of table) {
        it(`makes "${keys.replaceAll('\t', '<TAB>').replaceAll(all, '<ALL>')}" ${expected.join(' ')}`, async () => {
          assert.deepEqual(await typed(shell, script, `kvfio ${keys}`), expected);
        });
      }
    };

    lines([
      ['snap\t', ['snapshot']],
      ['groups --expl\t', ['groups', '--explain']],
      ['groups --snoop not\t', ['groups', '--snoop', 'not-enforced']],
      ['groups --snoop=not\t', ['groups', '--snoop=not-enforced']],
      ['groups --columns group,addr\t', ['groups', '--columns', 'group,address']],
      ['doctor --for pass\t', ['doctor', '--for', 'passthrough']],
      ['completion z\t', ['completion', 'zsh']],
      ['help doc\t', ['help', 'doctor']],
      ['groups --sysroot .zsh\t', ['groups', '--sysroot', '.zshrc']],
    ]);

    it('knows the PCI devices of this host, whose addresses have colons, and their interfaces and disks', async function () {
      const devices = namedDevices();
      const [first] = devices;
      if (first === undefined) return skip(this, 'this host has no PCI devices');
      assert.deepEqual((await typed(shell, script, `kvfio groups --device ${all}`)).slice(2).sort(), devices);
      const unique = devices.find(
        (name) => !devices.some((other) => other !== name && other.startsWith(name.slice(0, -1))),
      );
      if (unique === undefined) return;
      const [, , completed] = await typed(shell, script, `kvfio groups --device ${unique.slice(0, -1)}\t`);
      assert.equal(completed, unique);
    });

    it('knows the IOMMU groups of this host', async function () {
      const groups = listed('/sys/kernel/iommu_groups');
      if (groups.length === 0) return skip(this, 'this host has no IOMMU groups');
      assert.deepEqual((await typed(shell, script, `kvfio groups --group ${all}`)).slice(2).sort(), groups);
    });

    it('knows the processes that have a VM', async function () {
      needs(this, 'kvm');
      using kvm = Kvm.open();
      using vm = kvm.createVm();
      assert.ok(vm.fd > 0);
      const pids = (await typed(shell, script, `kvfio status --pid ${all}`)).slice(2);
      assert.ok(pids.includes(String(process.pid)), pids.join(' '));
      const pid = String(process.pid);
      // others may have VMs, too, so all of the number but its end may be ambiguous
      assert.deepEqual(await typed(shell, script, `kvfio status --pid ${pid}\t`), ['status', '--pid', pid]);
    });
  });
}

describe('completion of fish', function () {
  this.timeout(60_000);
  let script: string;
  before(async function () {
    needs(this, 'fish', 'build');
    ({stdout: script} = await run(Completion, ['fish']));
  });

  /** What fish offers for the last word of a line. */
  const offered = (line: string): string[] => {
    using folder = scratch();
    writeFileSync(folder.path('kvfio.fish'), script);
    const {stdout, stderr, status} = spawnSync(
      'fish',
      ['--no-config', '--command', 'source kvfio.fish; complete -C "$LINE"'],
      {cwd: folder.path('.'), env: {...process.env, LINE: line, HOME: folder.path('.')}, encoding: 'utf8'},
    );
    assert.deepEqual([status, stderr], [0, '']);
    return stdout
      .trim()
      .split('\n')
      .map((each) => each.split('\t')[0] ?? '');
  };

  for (const [line, expected] of [
    ['kvfio snap', ['snapshot']],
    ['kvfio groups --expl', ['--explain']],
    ['kvfio groups --snoop not', ['not-enforced']],
    ['kvfio groups --snoop=not', ['--snoop=not-enforced']],
    ['kvfio groups --columns group,addr', ['group,address']],
    ['kvfio doctor --for pass', ['passthrough']],
    ['kvfio completion f', ['fish']],
    ['kvfio help doc', ['doctor']],
    ['kvfio groups --sysroot kvf', ['kvfio.fish']],
    ['kvfio lab --kernel 6.', ['6.1', '6.12']],
    ['kvfio bind --driver ', ['auto', 'vfio-pci']],
  ] as const) {
    it(`offers ${expected.join(', ')} for "${line}"`, () => {
      assert.deepEqual(offered(line), expected);
    });
  }

  it('completes the program that runs in the lab as its own', () => {
    assert.ok(offered('kvfio lab -- ech').includes('echo'));
    assert.ok(!offered('kvfio lab -- ').includes('--iommu'));
  });

  it('knows the PCI devices of this host, their interfaces and disks', function () {
    const devices = namedDevices();
    if (devices.length === 0) return skip(this, 'this host has no PCI devices');
    assert.deepEqual(offered('kvfio bind --device ').sort(), devices);
  });

  it('knows the processes that have a VM', function () {
    needs(this, 'kvm');
    using kvm = Kvm.open();
    using vm = kvm.createVm();
    assert.ok(vm.fd > 0);
    assert.ok(offered('kvfio status --pid ').includes(String(process.pid)));
  });
});

describe('what is completed', () => {
  it('is something for every flag with a value that is no number, size, or word of another program', async () => {
    const {commands} = await Config.load({root: PROJECT, ignoreManifest: true});
    const free = completedCommands(commands).flatMap(({id, flags}) =>
      flags.filter(({values}) => values?.kind === 'text').map(({names}) => `${id} ${names[0] ?? ''}`),
    );
    const isNumber = (text: string): boolean =>
      ['number', 'seconds'].includes(FLAG_KINDS[text.split(' --')[1] ?? ''] ?? '');
    assert.deepEqual([...new Set(free.filter((text) => !isNumber(text)))].sort(), [
      'export --node',
      'lab --append',
      'lab --pci',
      'probe --dirty',
      'watch --exec',
      'wbinvd-probe --dirty',
    ]);
  });

  it('is described as a first look at help does', async () => {
    const {commands} = await Config.load({root: PROJECT, ignoreManifest: true});
    const described = completedCommands(commands).find(({id}) => id === 'bind');
    const driver = described?.flags.find(({names}) => names.includes('--driver'));
    assert.equal(driver?.summary, 'VFIO driver for the devices; auto chooses one');
    assert.equal(described?.summary, 'Give whole IOMMU groups, or single devices, to vfio-pci');
  });
});

describe('kvfio completion', () => {
  it('refuses a shell that it does not know', function () {
    needs(this, 'build');
    assert.equal(start(['completion', 'tcsh']).exit, 2);
  });
});
