import assert from 'node:assert/strict';
import {existsSync, readFileSync, readdirSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {PROJECT} from './support/run.js';

const DOCUMENTS = [...markdown(''), ...markdown('docs')];

describe('documents', () => {
  it('are found', () => {
    assert.ok(DOCUMENTS.includes('README.md') && DOCUMENTS.includes('docs/commands.md'));
  });

  for (const document of DOCUMENTS)
    it(`${document} links only to files and headings that exist`, () => {
      assert.deepEqual(
        linksOf(document).filter((link) => !leadsSomewhere(document, link)),
        [],
      );
    });

  it('README links to every page of docs', () => {
    const linked = linksOf('README.md');
    assert.deepEqual(
      markdown('docs').filter((page) => !linked.includes(page)),
      [],
    );
  });

  it('README has one page', () => {
    assert.ok(read('README.md').split('\n').length <= 200);
  });
});

function markdown(folder: string): string[] {
  return readdirSync(join(PROJECT, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name));
}

function read(document: string): string {
  return readFileSync(join(PROJECT, document), 'utf8');
}

/** Relative links; code has none. */
function linksOf(document: string): string[] {
  const prose = read(document).replaceAll(/^```[^]*?^```$/gm, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link]) => link ?? '')
    .filter((link) => !/^[a-z]+:/.test(link));
}

function leadsSomewhere(document: string, link: string): boolean {
  const [path = '', heading] = link.split('#');
  const target = path === '' ? document : join(dirname(document), path);
  return existsSync(join(PROJECT, target)) && (heading === undefined || anchorsOf(target).includes(heading));
}

/** How GitHub names headings. */
function anchorsOf(document: string): string[] {
  return [...read(document).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
