import {GUEST_MODULES} from './other-architecture-root.js';
import {GUEST_FOLDER, GUEST_OUT} from './guest-scripts.js';
import {shellAssignments, shellQuote} from './shell-quote.js';

/** What runs in the guest: a command with its arguments, the text of a script for /bin/sh, or the caller's shell. */
export type LabTask = {command: string[]} | {script: string} | {shell: true};

/** What the task meets in the guest. */
export interface TaskSurroundings {
  /** Program and arguments that the word `kvfio` means in the guest. */
  kvfio: string[];
  /** Working folder, where the guest has it. */
  cwd: string;
  /** The caller's environment; the guest gets of it what concerns programs, language and terminal. */
  environment: NodeJS.ProcessEnv;
  /** Whether the programs of the host are of another architecture than the guest. */
  foreign?: boolean;
  /** Whether a folder of the host is shared for output. */
  out: boolean;
}

/** Files for {@link GUEST_FOLDER}, by name: `command` sets the environment and becomes the task. */
export const taskFiles = (task: LabTask, surroundings: TaskSurroundings): Record<string, string> => ({
  command: commandScript(task, surroundings),
  'bin/kvfio': `#!/bin/sh\nexec ${words(surroundings.kvfio)} "$@"\n`,
  ...('script' in task && {script: task.script}),
});

const PASSED_ON = /^(TERM|COLORTERM|LANG|LANGUAGE|LC_\w+|TZ|NO_COLOR|FORCE_COLOR|COLUMNS|LINES)$/;

const commandScript = (task: LabTask, {cwd, environment, out, foreign = false}: TaskSurroundings): string => {
  const passedOn = Object.entries(environment).flatMap(([name, value]) =>
    PASSED_ON.test(name) && value !== undefined ? [[name, value]] : [],
  );
  const variables = {
    ...(Object.fromEntries(passedOn) as Record<string, string>),
    PATH: [
      `${GUEST_FOLDER}/bin`,
      ...(foreign ? [`${GUEST_FOLDER}/applets`] : []),
      environment['PATH'],
      '/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin',
    ]
      .filter(Boolean)
      .join(':'),
    HOME: `${GUEST_FOLDER}/home`,
    USER: 'root',
    LOGNAME: 'root',
    SHELL: foreign ? '/bin/sh' : (environment['SHELL'] ?? '/bin/sh'),
    ...(foreign && {NODE_PATH: GUEST_MODULES}),
    KVFIO_LAB: '1',
    ...(out && {KVFIO_LAB_OUT: GUEST_OUT}),
  };
  return `set -a\n${shellAssignments(variables)}set +a\ncd ${shellQuote(cwd)} 2>/dev/null || cd /\n${start(task)}\n`;
};

const start = (task: LabTask): string => {
  if ('command' in task) return `exec ${words(task.command)}`;
  if ('script' in task) return `exec /bin/sh ${GUEST_FOLDER}/script`;
  return 'for shell in "$SHELL" bash; do command -v "$shell" >/dev/null && exec "$shell" -i; done; exec sh -i';
};

const words = (argv: string[]): string => argv.map(shellQuote).join(' ');
