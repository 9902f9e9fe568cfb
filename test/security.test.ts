import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {PROJECT} from './support/run.js';

describe('SECURITY.md', () => {
  it('names tests that there are, one in each line of its table', () => {
    const text = readFileSync(join(PROJECT, 'SECURITY.md'), 'utf8');
    const named = [...text.matchAll(/`(test\/[\w/.-]+\.test\.ts)`: ([^|)]+?)(?= \||\))/g)];
    const rows = text
      .split('\n')
      .filter((line) => line.startsWith('| ') && !line.startsWith('| what a stranger has'));
    assert.deepEqual(
      rows.filter((row) => !named.some(([name]) => row.includes(name))),
      [],
    );
    assert.ok(named.length > rows.length);
    const missing = named.filter(([, file = '', title = '']) => {
      const source = readFileSync(join(PROJECT, file), 'utf8');
      return !source.includes(`'${title}`) && !source.includes(`\`${title}`);
    });
    assert.deepEqual(
      missing.map(([name]) => name),
      [],
    );
  });
});
