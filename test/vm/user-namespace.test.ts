import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {chmodSync, chownSync, mkdirSync} from 'node:fs';
import {join} from 'node:path';
import {mapsAll} from '../../src/vm/user-ids.js';
import {PROJECT} from '../support/run.js';
import {skip} from '../support/skip.js';
import {scratch} from './vmm.js';

describe('in a user namespace, kvfio', function () {
  this.timeout(30_000);

  it('trusts no peer whose user cannot be told from others', function () {
    if (process.geteuid?.() !== 0) skip(this, 'only root can give folders away');
    if (spawnSync('unshare', ['--user', '--map-root-user', 'true']).status !== 0)
      skip(this, 'no user namespace can be made here');
    using folder = scratch();
    chmodSync(folder.path('.'), 0o755);
    mkdirSync(folder.path('his'));
    chownSync(folder.path('his'), 4711, 4711);
    // as the kernel shows user 4711 and all others there
    const peer = '{pid: 1, uid: 65534, gid: 65534}';
    const program = `
      const {requireTrustedSocket} = await import('${join(PROJECT, 'src/vm/socket-trust.ts')}');
      const {statSync} = await import('node:fs');
      const address = '${folder.path('his/s')}';
      try { requireTrustedSocket({address, peer: ${peer}}); console.log('trusted'); }
      catch (error) { console.log(error.code, statSync('${folder.path('his')}').uid); }`;
    const node = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', program];
    const {stdout, stderr} = spawnSync('unshare', ['--user', '--map-root-user', ...node], {
      cwd: PROJECT,
      encoding: 'utf8',
    });
    assert.equal(stdout.trim(), 'SOCKET_OF_STRANGER 65534', stderr);
  });

  it('knows by its map whether all users have an id', () => {
    assert.equal(mapsAll('         0          0 4294967295\n'), true);
    for (const text of ['', '         0       1000          1\n', '0 0 65536\n65536 65536 4294901759\n'])
      assert.equal(mapsAll(text), false);
  });
});
