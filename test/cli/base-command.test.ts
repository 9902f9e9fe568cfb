import assert from 'node:assert/strict';
import {BaseCommand} from '../../src/cli/base-command.js';
import type {ErrorDocument} from '../../src/cli/output/report.js';
import {Failure} from '../../src/failure.js';
import {run, type Outcome} from '../support/run.js';

const REFUSED = new Failure({
  code: 'REFUSED',
  kind: 'kernelRefused',
  what: 'The rest is not to be had.',
  why: 'The kernel refused it.',
  hint: 'Try again.',
});

/** Prints a document, of which one field may fail when it is asked for. */
const printed = (document: object): Promise<Outcome> =>
  run(
    class extends BaseCommand {
      static override id = 'printed';

      async run(): Promise<null> {
        await this.parse();
        await this.printDocument(document);
        return null;
      }
    },
    ['--json'],
  );

describe('a failure while a document is printed', () => {
  it('is told on stderr once something is out: stdout never has two documents', async () => {
    const {exit, stdout, stderr} = await printed({
      schemaVersion: 1,
      get rest(): never {
        throw REFUSED;
      },
    });
    assert.equal(exit, 6);
    assert.equal(stdout, '{\n  "schemaVersion": 1');
    assert.equal(stderr, 'kvfio: The rest is not to be had.\n  The kernel refused it.\n  Try again.\n');
  });

  it('is the document as long as nothing is', async () => {
    const {exit, stdout, stderr} = await printed({
      get first(): never {
        throw REFUSED;
      },
    });
    assert.equal(exit, 6);
    assert.equal((JSON.parse(stdout) as ErrorDocument).error.code, 'REFUSED');
    assert.equal(stderr, '');
  });
});

describe('--quiet', () => {
  class Noted extends BaseCommand {
    static override id = 'noted';

    async run(): Promise<null> {
      await this.parse();
      this.note('something to know');
      await this.warnOf([{message: 'something to mind'}]);
      return null;
    }
  }

  it('leaves notes and warnings out', async () => {
    assert.equal((await run(Noted, ['--quiet'])).stderr, '');
    const {stderr} = await run(Noted, []);
    assert.match(stderr, /something to know/);
    assert.match(stderr, /something to mind/);
  });

  it('does not leave errors out', async () => {
    const {exit, stderr} = await run(Noted, ['--quiet', '--frobnicate']);
    assert.equal(exit, 2);
    assert.match(stderr, /There is no flag --frobnicate/);
  });
});
