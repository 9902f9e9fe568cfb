import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {FORMATS, type FormatName} from '../../src/export/formats.js';
import {needs} from '../support/needs.js';
import {PROJECT} from '../support/run.js';

const UNITS = join(PROJECT, 'src/export/systemd');
const KVFIO = join(PROJECT, 'bin/run.js');
const SERVICE = 'kvfio-export@.service';

/** The formats whose place is given in a unit. */
const places = (): [format: FormatName, file: string][] =>
  readdirSync(UNITS).flatMap((name): [FormatName, string][] => {
    const format = /^kvfio-export@(.+)\.service\.d$/.exec(name)?.[1];
    if (format === undefined) return [];
    return [[format as FormatName, readFileSync(join(UNITS, name, 'place.conf'), 'utf8')]];
  });

describe('the units of kvfio export', () => {
  it('write where the reader of each format looks, and may write nowhere else', () => {
    assert.ok(places().length > 0);
    for (const [format, text] of places()) {
      const place = FORMATS[format].place ?? assert.fail(format);
      const folder = place.slice(0, place.lastIndexOf('/'));
      assert.equal(text, `[Service]\nEnvironment=KVFIO_OUT=${place}\nReadWritePaths=${folder}\n`);
    }
    assert.doesNotMatch(readFileSync(join(UNITS, SERVICE), 'utf8'), /^ReadWritePaths=/m);
  });

  it('are sound to systemd, and expose no more than 2.5', function () {
    needs(this, 'systemd-analyze');
    this.timeout(60_000);
    const root = mkdtempSync(join(tmpdir(), 'kvfio-units-'));
    try {
      const folder = join(root, 'usr/lib/systemd/system');
      cpSync(UNITS, folder, {recursive: true});
      // what the units name, for systemd looks whether it is there
      mkdirSync(join(root, 'usr/bin'));
      writeFileSync(join(root, 'usr/bin/kvfio'), '#!/bin/sh\n');
      chmodSync(join(root, 'usr/bin/kvfio'), 0o755);
      for (const name of ['basic', 'sysinit', 'shutdown', 'timers', 'time-sync', 'time-set'])
        writeFileSync(join(folder, `${name}.target`), `[Unit]\nDescription=${name}\n`);
      for (const [format] of places()) {
        const unit = `kvfio-export@${format}`;
        const analyze = (...argv: string[]): ReturnType<typeof spawnSync> =>
          spawnSync('systemd-analyze', [...argv, `--root=${root}`], {encoding: 'utf8'});
        const verified = analyze('verify', '--man=no', `${unit}.service`, `${unit}.timer`);
        assert.deepEqual([verified.status, String(verified.stderr)], [0, ''], format);
        const judged = analyze('security', '--offline=true', '--threshold=25', `${unit}.service`);
        assert.equal(judged.status, 0, String(judged.stdout));
      }
    } finally {
      rmSync(root, {recursive: true});
    }
  });

  it('leave root the capabilities with which it finds what it finds with all of them', function () {
    needs(this, 'build', 'root', 'setpriv');
    this.timeout(60_000);
    const [, kept = ''] =
      /^CapabilityBoundingSet=(.+)$/m.exec(readFileSync(join(UNITS, SERVICE), 'utf8')) ?? [];
    const names = kept.split(' ').map((name) => `+${name.slice('CAP_'.length).toLowerCase()}`);
    const bound = ['setpriv', `--bounding-set=-all,${names.join()}`, '--no-new-privs'];
    const found = (...before: string[]): string[] => {
      const argv = [...before, process.execPath, KVFIO, 'export', 'prometheus'];
      const {status, stdout, stderr} = spawnSync('env', argv, {encoding: 'utf8'});
      assert.equal(status, 0, stderr);
      return stdout
        .split('\n')
        .filter((line) => /^kvfio_(?:group|doctor_check|part|unread|hidden)/.test(line))
        .filter((line) => !line.includes('"memlock"'));
    };
    // without IPC_LOCK the limit counts, which the unit lifts and not every root may
    assert.match(readFileSync(join(UNITS, SERVICE), 'utf8'), /^LimitMEMLOCK=infinity$/m);
    assert.deepEqual(found(...bound), found());
  });
});
