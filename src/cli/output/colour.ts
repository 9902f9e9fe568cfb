import type {ChalkInstance} from 'chalk';

/**
 * Colours for one stream. chalk is loaded only where there are some.
 *
 * chalk looks at the terminal and at FORCE_COLOR but not at NO_COLOR (no-color.org), so that is decided here:
 * `--no-color` wins, then FORCE_COLOR, then a non-empty NO_COLOR, then whether the stream is a terminal.
 */
export const colourFor = async (stream: 'stdout' | 'stderr', wanted: boolean): Promise<ChalkInstance> => {
  const forced = process.env['FORCE_COLOR'] !== undefined;
  if (!wanted || (!forced && (!process[stream].isTTY || Boolean(process.env['NO_COLOR'])))) return plain;
  const {Chalk, supportsColor, supportsColorStderr} = await import('chalk');
  const support = stream === 'stdout' ? supportsColor : supportsColorStderr;
  return new Chalk({level: support ? support.level : 0});
};

/** Whatever colours it is asked for, it gives the text back. It is no promise: what has a `then` is waited for. */
const plain: ChalkInstance = new Proxy(String as unknown as ChalkInstance, {
  get: (_, name) => (name === 'then' ? undefined : plain),
});
