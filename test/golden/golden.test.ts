import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {needs} from '../support/needs.js';
import {goldenFile} from './all.js';
import {helpTexts} from './help-texts.js';
import {invocationTexts} from './invocations.js';
import {statusTexts} from './status-texts.js';

const committed = (name: string): string => readFileSync(goldenFile(name), 'utf8');

const isCommitted = (texts: Record<string, string>): void => {
  for (const [name, text] of Object.entries(texts))
    assert.equal(
      text,
      committed(name),
      `${name} is not what kvfio prints: npm run generate, and read the difference`,
    );
};

describe('what kvfio prints', function () {
  this.timeout(180_000);
  before(function () {
    needs(this, 'build');
  });

  it('is, for its help, what the golden files have', async function () {
    needs(this, 'script');
    isCommitted(await helpTexts());
  });

  it('is, for wrong command lines, what the golden files have', () => {
    isCommitted(invocationTexts());
  });
});

describe('what kvfio status --expect prints', () => {
  it('is, for each outcome of a look at the VM, what the golden file has', function () {
    this.timeout(60_000);
    isCommitted(statusTexts());
  });
});

describe('the golden files', () => {
  const pages = (name: string): string[] => committed(name).split(/^== /m).slice(1);

  it('have help of no command that is longer than a screen of 24 lines, nor wider than its terminal', () => {
    for (const page of pages('help-80.txt')) {
      const [title, ...lines] = page.trimEnd().split('\n');
      assert.ok(lines.length <= 24, `${title}: ${lines.length} lines`);
    }
    for (const [name, width] of [
      ['help-piped.txt', 80],
      ['help-80.txt', 80],
      ['help-120.txt', 120],
      ['help-60.txt', 60],
      ['help-all-piped.txt', 80],
    ] as const) {
      for (const line of committed(name).split('\n'))
        // a command to copy is not broken within its quotes
        assert.ok(line.length <= width || /['"]/.test(line), `${name}: ${line}`);
    }
  });

  it('have for kvfio alone what they have for its help', () => {
    for (const name of ['help-piped.txt', 'help-60.txt', 'help-80.txt', 'help-120.txt']) {
      const [alone = '', help = ''] = pages(name);
      assert.equal(alone.replace(/^kvfio *\n/, 'kvfio --help\n'), help, name);
    }
  });

  it('have no wrong command line that is taken, and none that is not told what to do', () => {
    const answers = committed('answers.txt').split(/^\$ /m).slice(1);
    assert.ok(answers.length > 100);
    for (const answer of answers) {
      // a filter that nothing passes is no error
      if (/^kvfio groups .*--snoop enforced$/m.test(answer)) continue;
      assert.match(answer, /^kvfio .*\n(1> .*\n|2> kvfio: .*\n(2> {3}.+\n){2,})+= [1-9]/, answer);
    }
  });

  it('have a sentence of its own and the exit code for each outcome of a look at a VM', () => {
    const outcomes = committed('status.txt')
      .split(/^\$ /m)
      .filter((text) => text !== '' && !text.includes('--json'))
      .map((text) => {
        const reasons = [...text.matchAll(/^2> kvfio: (?!warning: )(.*)$/gm)].map(([, reason]) => reason);
        return {exit: Number(/^= (\d+)$/m.exec(text)?.[1]), reasons};
      });
    assert.deepEqual(
      outcomes.map(({exit}) => exit),
      [0, 7, 8, 8, 2, 5, 6],
    );
    assert.deepEqual(outcomes[0]?.reasons, []);
    const rest = outcomes.slice(1).map(({reasons}) => reasons);
    assert.ok(rest.every(({length}) => length === 1));
    assert.equal(new Set(rest.flat()).size, rest.length);
  });
});
