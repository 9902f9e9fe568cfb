import {existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {Failure} from '../failure.js';
import type {Apt} from './apt.js';
import type {LabArch} from './arch.js';

/** Suites of Debian that have kernels which others lack. */
const SUITES = [
  {suite: 'bullseye-security', archive: 'security'},
  {suite: 'bookworm-security', archive: 'security'},
  {suite: 'trixie-security', archive: 'security'},
  {suite: 'trixie-backports', archive: 'main'},
] as const;

export type Archives = Record<(typeof SUITES)[number]['archive'], string>;

/** Addresses of archives from which the host itself takes nothing. */
const DEFAULT_ARCHIVES: Archives = {
  main: 'http://deb.debian.org/debian',
  security: 'http://deb.debian.org/debian-security',
};

/** Keys of all suites, by the package debian-archive-keyring. */
const KEYRINGS = ['debian-archive-keyring.gpg', 'debian-archive-keyring.pgp'].map((name) =>
  join('/usr/share/keyrings', name),
);

/**
 * The host's apt with {@link SUITES} in place of the host's own, and with lists of its own below `folder`: nothing of the host
 * changes. Mirrors, proxies and passwords are the host's. Null where the host is not Debian.
 *
 * @throws Failure where nothing can check the signatures
 */
export const otherSuites = async (
  host: Apt,
  folder: string,
  arch: LabArch = 'amd64',
): Promise<Apt | null> => {
  const release = readFileSync('/etc/os-release', 'utf8');
  if (!/^ID=debian$/m.test(release)) return null;
  const [, codename = 'stable'] = /^VERSION_CODENAME=(\w+)$/m.exec(release) ?? [];
  const keyring = KEYRINGS.find((path) => existsSync(path));
  if (keyring === undefined) throw noKeyring();
  const at = (name: string): string => join(folder, name);
  mkdirSync(at('lists'), {recursive: true});
  mkdirSync(at('cache'), {recursive: true});
  // 0600: a mirror's address may hold a password
  const sources = sourcesList(archivesIn(await host.query(...ARCHIVES_QUERY)), keyring, {
    arch,
    // the host's own lists are of its own architecture
    main: arch === 'amd64' ? null : codename,
  });
  writeFileSync(at('sources.list'), sources, {mode: 0o600});
  writeFileSync(at('apt.conf'), WITHOUT_HOOKS);
  const settings = {
    'Dir::Etc::SourceList': at('sources.list'),
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::Etc::Preferences': '/dev/null',
    'Dir::Etc::PreferencesParts': '/dev/null',
    'Dir::State::Status': '/dev/null',
    'Dir::State::Lists': at('lists'),
    'Dir::Cache': at('cache'),
    'Dir::Cache::Archives': at('cache/archives'),
    'Acquire::Languages': 'none',
    'APT::Architecture': arch,
    'APT::Architectures::': arch,
  };
  return host.with([
    ...['-c', at('apt.conf')],
    ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
  ]);
};

/** What a host has done after an update of its own lists. */
const WITHOUT_HOOKS = ['Pre-Invoke', 'Post-Invoke', 'Post-Invoke-Success']
  .map((hook) => `#clear APT::Update::${hook};\n`)
  .join('');

/**
 * Lists of packages that the host has from Debian, as `LABEL MIRROR`. Others offer packages under Debian's names of suites, too;
 * origin and label are in the signed Release files.
 */
const ARCHIVES_QUERY = [
  ...['indextargets', '--format', '$(LABEL) $(REPO_URI)'],
  ...['Created-By: Packages', 'Origin: Debian'],
];

const LABELS: Record<string, keyof Archives> = {Debian: 'main', 'Debian-Security': 'security'};

/** The host's mirrors of Debian's archives, from the answer to {@link ARCHIVES_QUERY}. */
export const archivesIn = (targets: string): Archives => {
  const archives = {...DEFAULT_ARCHIVES};
  for (const [, label = '', mirror = ''] of targets.matchAll(/^(\S+) (\S+)$/gm)) {
    const archive = LABELS[label];
    if (archive !== undefined) archives[archive] = mirror;
  }
  return archives;
};

/** sources.list(5). */
export const sourcesList = (
  archives: Archives,
  keyring: string,
  {arch, main}: {arch: LabArch; main: string | null} = {arch: 'amd64', main: null},
): string =>
  [...(main === null ? [] : [{suite: main, archive: 'main'} as const]), ...SUITES]
    .map(
      ({suite, archive}) =>
        `deb [arch=${arch} target=Packages signed-by=${keyring}] ${archives[archive]} ${suite} main\n`,
    )
    .join('');

const noKeyring = (): Failure =>
  new Failure({
    code: 'LAB_NO_KEYRING',
    kind: 'cannotDecide',
    what: 'A kernel of another suite of Debian cannot be downloaded.',
    why: `Nothing can check its signature: ${KEYRINGS[0] ?? ''} is missing.`,
    hint: 'Install the package debian-archive-keyring, or give an image or an unpacked package with --kernel.',
  });
