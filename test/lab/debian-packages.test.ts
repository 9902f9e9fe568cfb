import assert from 'node:assert/strict';
import {
  packageCandidates,
  dependencyOf,
  newestFirst,
  partsAmong,
  seriesAmong,
  seriesOf,
} from '../../src/lab/debian-packages.js';
import {archivesIn, sourcesList} from '../../src/lab/other-suites.js';

const NAMES = [
  'linux-image-amd64',
  'linux-image-6.12-amd64',
  'linux-image-6.1.0-9-amd64',
  'linux-image-6.1.0-56-amd64-unsigned',
  'linux-image-6.1.0-56-amd64',
  'linux-image-6.1.0-56-amd64-dbg',
  'linux-image-6.1.0-56-cloud-amd64',
  'linux-image-6.1.0-56-rt-amd64-unsigned',
  'linux-image-6.12.99+deb12-amd64',
  'linux-image-6.12.117+deb12-amd64-unsigned',
  'linux-image-6.12.117+deb12-rt-amd64',
  'linux-image-7.3.4+deb13-amd64',
  'linux-image-7.3.4+deb13-amd64-dbg',
  'linux-image-6.1.0-0.deb11.52-amd64',
];

describe('kernel packages of Debian', () => {
  it('are ranked by number, not by letter, the signed first', () => {
    assert.deepEqual(newestFirst(NAMES, '6.1'), [
      'linux-image-6.1.0-56-amd64',
      'linux-image-6.1.0-56-amd64-unsigned',
      'linux-image-6.1.0-9-amd64',
    ]);
    assert.deepEqual(newestFirst(NAMES, '6.12'), [
      'linux-image-6.12.117+deb12-amd64-unsigned',
      'linux-image-6.12.99+deb12-amd64',
    ]);
  });

  it('have a series unless they are of another flavour', () => {
    assert.equal(seriesOf('linux-image-6.12.117+deb12-amd64'), '6.12');
    for (const name of [
      'linux-image-6.12.117+deb12-cloud-amd64',
      'linux-image-6.12.117+deb12-rt-amd64',
      'linux-image-6.12-amd64',
    ])
      assert.equal(seriesOf(name), null);
  });

  it('are summed up as series, newest first', () => {
    assert.deepEqual(seriesAmong(NAMES), ['7.3', '6.12', '6.1']);
  });
});

describe('answers of apt-cache', () => {
  it('give the version that would be downloaded, and none where there is none', () => {
    const policy = `linux-image-6.1.0-56-amd64:
  Installed: (none)
  Candidate: 6.1.192-2
  Version table:
     6.1.192-2 500
        500 http://deb.debian.org/debian-security bookworm-security/main amd64 Packages
linux-image-6.1.0-9-amd64:
  Installed: (none)
  Candidate: (none)
  Version table:
`;
    assert.deepEqual(packageCandidates(policy), new Map([['linux-image-6.1.0-56-amd64', '6.1.192-2']]));
  });

  it('give what a meta package stands for', () => {
    assert.equal(
      dependencyOf('linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n'),
      'linux-image-6.1.0-56-amd64',
    );
    assert.equal(dependencyOf('N: Unable to locate package linux-image-amd64\n'), null);
  });

  it('give the parts of a split kernel package, and none of a whole one', () => {
    const depends = `linux-image-7.3.4+deb13-amd64
  PreDepends: linux-base
 |Depends: <dracut>
  Depends: <linux-initramfs-tool>
  Depends: linux-base-7.3.4+deb13-amd64
  Depends: linux-binary-7.3.4+deb13-amd64
  Depends: linux-modules-7.3.4+deb13-amd64
  Suggests: linux-doc-7.3
`;
    assert.deepEqual(
      partsAmong(depends),
      ['base', 'binary', 'modules'].map((part) => `linux-${part}-7.3.4+deb13-amd64`),
    );
    assert.deepEqual(partsAmong('linux-image-5.10.0-46-amd64\n  Depends: kmod\n  Depends: linux-base\n'), []);
  });
});

describe("the other suites' sources", () => {
  it("are on the host's mirrors of Debian, each archive on its own", () => {
    const targets = 'Debian http://mirror.example/debian/\nDebian-Security http://mirror.example/security/\n';
    const archives = archivesIn(targets);
    assert.deepEqual(archives, {
      main: 'http://mirror.example/debian/',
      security: 'http://mirror.example/security/',
    });
    const list = sourcesList(archives, '/keys.gpg');
    assert.match(
      list,
      /signed-by=\/keys\.gpg\] http:\/\/mirror\.example\/security\/ bullseye-security main$/m,
    );
    assert.match(list, /http:\/\/mirror\.example\/debian\/ trixie-backports main$/m);
  });

  it("are on Debian's own servers where the host has no list of it", () => {
    assert.deepEqual(archivesIn(''), {
      main: 'http://deb.debian.org/debian',
      security: 'http://deb.debian.org/debian-security',
    });
  });
});
