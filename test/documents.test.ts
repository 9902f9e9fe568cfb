import assert from 'node:assert/strict';
import {existsSync, readFileSync, readdirSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {PROJECT} from './support/run.js';

/** Every file and folder, and every end of its path, after a slash. */
const PATHS = new Set(
  ['.ci', 'bin', 'docs', 'src', 'test']
    .flatMap((folder) => [
      folder,
      ...readdirSync(join(PROJECT, folder), {recursive: true, encoding: 'utf8'}).map((name) =>
        join(folder, name),
      ),
    ])
    .concat(readdirSync(PROJECT))
    .flatMap((path) => path.split('/').map((_, at, parts) => `/${parts.slice(at).join('/')}`)),
);

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

  // the changelog also names what was there once
  for (const document of DOCUMENTS.filter((name) => name !== 'CHANGELOG.md'))
    it(`${document} names only files and folders that exist`, () => {
      assert.deepEqual(
        pathsIn(document).filter((path) => !exists(path)),
        [],
      );
    });

  it('names of files are found in prose, tables and the picture of the folders', () => {
    assert.ok(pathsIn('ARCHITECTURE.md').includes('vfio/eligibility'));
    assert.ok(pathsIn('ARCHITECTURE.md').includes('kvm-vfio/'));
    assert.ok(pathsIn('CONTRIBUTING.md').includes('src/iommu/unit.ts'));
    assert.equal(exists('linux/no-such-file.ts'), false);
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

/**
 * Paths that a document names as code, such as `linux/ioctl.ts`, and those of the picture in ARCHITECTURE. Names in
 * capitals stand for any, `kvfio/` begins what the package exports, and a domain such as `feature.node.kubernetes.io/` is
 * no path.
 */
function pathsIn(document: string): string[] {
  const text = read(document);
  const prose = text.replaceAll(/^```[^]*?^```$/gm, '');
  const picture = document === 'ARCHITECTURE.md' ? (/^```\n(bin\/[^]*?)^```$/m.exec(text)?.[1] ?? '') : '';
  return [
    ...[...prose.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code ?? ''),
    ...picture.split(/[\s,;:()]+/).filter((word) => /[/.]/.test(word)),
  ].filter(
    (code) =>
      /^[\w.-]+(?:\/[\w.-]+)*\/?$/.test(code) &&
      !/^\w+(?:\.\w+){2,}\//.test(code) &&
      (code.includes('/') || /\.(?:[cm]?[jt]s|md|h|c)$/.test(code)),
  );
}

/** Whether a path, or the end of one, is that of a file or folder here. */
function exists(path: string): boolean {
  if (path.startsWith('kvfio/')) {
    const {exports} = JSON.parse(read('package.json')) as {exports: Record<string, string>};
    return Object.hasOwn(exports, `./${path.replace('kvfio/', '').replace(/[^/]*$/, '*')}`);
  }
  if (/\b[A-Z]{4,}\b/.test(path)) return existsSync(join(PROJECT, dirname(path)));
  return PATHS.has(`/${path.replace(/\/$/, '')}`);
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
