import {execFile} from 'node:child_process';
import {promisify} from 'node:util';
import {Failure} from '../../failure.js';

/**
 * Loads a module and what it needs.
 *
 * @throws {@link Failure} with what modprobe says
 */
export const loadModule = async (name: string): Promise<void> => {
  try {
    await promisify(execFile)('modprobe', ['--', name], {
      timeout: SECONDS * 1000,
      env: {PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`},
    });
  } catch (error) {
    throw new Failure({
      code: 'MODULE_NOT_LOADED',
      kind: 'notFound',
      what: `The module ${name} could not be loaded.`,
      why: whyNot(error as NodeJS.ErrnoException & {stderr?: string; killed?: boolean}),
      hint: 'Install the modules of the running kernel, or load it where that is permitted.',
      cause: error,
    });
  }
};

const SECONDS = 60;

const whyNot = ({
  code,
  killed,
  stderr,
  message,
}: NodeJS.ErrnoException & {stderr?: string; killed?: boolean}): string => {
  if (code === 'ENOENT') return 'There is no program modprobe here.';
  if (killed === true) return `modprobe did not end within ${SECONDS} s.`;
  const lines = (stderr?.trim() || message)
    .split('\n')
    .map((line) => line.replace(PREFIX, '').replace(/\.$/, ''));
  return `modprobe says: ${lines.join('; ')}.`;
};

/** The prefix of a message: the program, and the place in the source of libkmod. */
const PREFIX = /^(?:modprobe: (?:FATAL|ERROR): )?(?:\S*libkmod\S*\.c:\d+ \w+\(\) )?/;
