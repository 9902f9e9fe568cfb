import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {isStatic, which} from '../../src/lab/programs.js';

describe('programs of the lab', () => {
  it('tells a program that needs a loader from one that does not', () => {
    assert.equal(isStatic(readFileSync(process.execPath)), false);
    assert.equal(isStatic(Buffer.from('#!/bin/sh\n')), false);
    const busybox = which('busybox', '/bin');
    if (busybox !== null) assert.equal(isStatic(readFileSync(busybox)), true);
  });

  it('finds programs in the folders of the system that a user has not on PATH', () => {
    assert.match(which('ldconfig', '/nonexistent') ?? '', /sbin\/ldconfig$/);
    assert.equal(which('no-such-program', '/bin'), null);
  });

  it('never takes a program from a relative folder of PATH', () => {
    assert.equal(which('package.json', '.'), null);
  });
});
