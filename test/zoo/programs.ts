import {execFileSync} from 'node:child_process';
import {realpathSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {which} from '../../src/lab/programs.js';

/** How a program of the zoo is made: a file of `folder`, which is started as `PROGRAM KIND FILE [OPTION...]`. */
interface Recipe {
  /** What makes it, or is it. */
  tools: readonly string[];
  /** The packages of Debian that have these. */
  packages: string;
  make: (folder: string, program: string) => void;
}

const source = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const execute = (program: string, args: readonly string[], env: Record<string, string> = {}): void => {
  execFileSync(program, args, {stdio: ['ignore', 'ignore', 'pipe'], env: {...process.env, ...env}});
};

const FLAGS = ['-O2', '-Wall', '-Wextra', '-Werror', '-pthread'];
/** The headers of the kernel, behind those of musl. */
const KERNEL_HEADERS = ['/usr/include', '/usr/include/x86_64-linux-gnu'].flatMap((path) => [
  '-idirafter',
  path,
]);

const c = (name: string, flags: readonly string[] = []): Recipe => ({
  tools: ['cc'],
  packages: 'gcc',
  make: (_, program) => {
    execute('cc', [...FLAGS, '-o', program, source(name), ...flags]);
  },
});

const musl = (name: string, flags: readonly string[] = []): Recipe => ({
  tools: ['musl-gcc'],
  packages: 'musl-tools',
  make: (_, program) => {
    execute('musl-gcc', [...FLAGS, '-static', ...KERNEL_HEADERS, '-o', program, source(name), ...flags]);
  },
});

/** With whose compiler and header a JVM's library is made. */
const javaHome = (): string =>
  dirname(dirname(realpathSync(which('javac', process.env['PATH'] ?? '') ?? '')));

const RECIPES = {
  victim: c('../owner/inject/victim.c'),
  // bound early, because the dynamic linker needs more stack than there is
  'small-stacks': c('../owner/inject/small-stacks.c', ['-Wl,-z,now']),
  threads: c('threads.c'),
  'threads-static': c('threads.c', ['-static']),
  'threads-musl': musl('threads.c'),
  'threads-musl-bare': musl('threads.c', ['-DNO_HANDLER']),
  sequences: c('sequences.c'),
  children: c('children.c'),
  uring: c('uring.c'),
  filters: c('filters.c'),
  machines: c('machines.c'),
  calls: c('calls.c'),
  go: {
    tools: ['go'],
    packages: 'golang-go',
    make: (folder, program) => {
      execute('go', ['build', '-o', program, source('owner.go')], {
        ...{GOCACHE: join(folder, 'go-cache'), HOME: folder, GO111MODULE: 'off'},
      });
    },
  },
  java: {
    tools: ['java', 'javac', 'cc'],
    packages: 'default-jdk-headless gcc',
    make: (folder, program) => {
      const home = javaHome();
      execute('javac', ['-d', folder, source('Owner.java')]);
      execute('cc', [
        ...['-shared', '-fPIC', `-I${home}/include`, `-I${home}/include/linux`],
        ...['-o', join(folder, 'libowner.so'), source('java-vm.c')],
      ]);
      const start = `exec '${home}/bin/java' -Djava.library.path='${folder}' -cp '${folder}' Owner "$@"`;
      writeFileSync(program, `#!/bin/sh\n${start}\n`, {mode: 0o755});
    },
  },
  qemu: {tools: ['qemu-system-x86_64'], packages: 'qemu-system-x86', make: () => undefined},
} satisfies Record<string, Recipe>;

export type ZooProgram = keyof typeof RECIPES;

/** Makes a program. @returns why it cannot be made here, or undefined */
export const makeProgram = (folder: string, name: ZooProgram): string | undefined => {
  const {tools, packages, make}: Recipe = RECIPES[name];
  const path = process.env['PATH'] ?? '';
  const missing = tools.filter((tool) => which(tool, path) === null);
  if (missing.length > 0) return `there is no ${missing.join(', ')} in the PATH (Debian: ${packages})`;
  make(folder, join(folder, name));
  return undefined;
};
