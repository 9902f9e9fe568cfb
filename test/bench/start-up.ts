import {buildOnce} from '../support/run.js';
import type {Benchmark} from './benchmark.js';
import {compared, KVFIO, timed, VERSION} from './commands.js';

const ratio = (own: number, other: number): number => own / other;

/** How long the start of commands takes, next to Node alone. */
export const benchmark: Benchmark = {
  needs: [],
  lines: () =>
    ['kvfio --version', 'kvfio groups --json'].map((what) => ({
      ...{what, against: 'node -e 0', unit: 'x', most: 2.5},
    })),
  measure: (size) => {
    buildOnce();
    const [node, version, groups] = timed(
      [
        {command: [process.execPath, '-e', '0']},
        {command: VERSION},
        {command: [...KVFIO, 'groups', '--json']},
      ],
      size === 'large' ? 40 : 10,
    );
    return [compared(version, node, ratio), compared(groups, node, ratio)];
  },
};
