import type {ChalkInstance} from 'chalk';

/**
 * Colours for one stream. chalk is loaded only by those who paint: JSON output does without.
 *
 * chalk looks at the terminal and at FORCE_COLOR but not at NO_COLOR (no-color.org), so that is decided here:
 * `--no-color` wins, then FORCE_COLOR, then a non-empty NO_COLOR, then whether the stream is a terminal.
 */
export const colourFor = async (stream: 'stdout' | 'stderr', wanted: boolean): Promise<ChalkInstance> => {
  const {Chalk, supportsColor, supportsColorStderr} = await import('chalk');
  const support = stream === 'stdout' ? supportsColor : supportsColorStderr;
  const forced = process.env['FORCE_COLOR'] !== undefined;
  const refused = !wanted || (!forced && Boolean(process.env['NO_COLOR']));
  return new Chalk({level: refused || !support ? 0 : support.level});
};
