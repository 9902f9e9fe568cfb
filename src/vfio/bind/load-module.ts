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
      timeout: 60_000,
      env: {PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`},
    });
  } catch (error) {
    const said = (error as {stderr?: string}).stderr?.trim() || (error as Error).message;
    throw new Failure({
      code: 'MODULE_NOT_LOADED',
      kind: 'notFound',
      what: `The module ${name} could not be loaded.`,
      why: `modprobe says: ${said.replace(/^modprobe: (?:FATAL|ERROR): /, '').replace(/\.$/, '')}.`,
      hint: 'Install the modules of the running kernel, or load it where that is permitted.',
      cause: error,
    });
  }
};
