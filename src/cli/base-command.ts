import {Command, Errors, Flags, type Interfaces} from '@oclif/core';
import type {ChalkInstance} from 'chalk';
import {colourFor} from './output/colour.js';
import {failureOf} from './usage/failure-of.js';
import {jsonPieces} from './output/json-pieces.js';
import {printable, printableJson} from '../printable.js';
import {reportFailure} from './output/report.js';
import {withUsageHint} from './usage/usage-hint.js';
import {wrappedFacts, stderrWidth, wrapped} from './output/wrap.js';
import {linePieces, writeStream} from './output/write-stream.js';

/**
 * oclif takes the words after `--flag=value` for more values where the flag may be given several times.
 *
 * @throws a usage error of oclif's
 */
const refuseLooseWords = (argv: readonly string[], flags: Readonly<Record<string, object>>): void => {
  for (const [index, word] of argv.entries()) {
    if (word === '--') return;
    const name = /^--([^=]+)=/.exec(word)?.[1] ?? '';
    const next = argv[index + 1];
    const flag = flags[name];
    const isList = flag !== undefined && 'multiple' in flag && flag.multiple === true;
    if (isList && next?.startsWith('-') === false) throw new Errors.CLIError(`Unexpected argument: ${next}`);
  }
};

/** Writes at once, so that the last line before a call that does not come back is seen. */
const debugLine =
  (writeSync: (fd: number, text: string) => number) =>
  (line: string): void => {
    try {
      writeSync(2, `kvfio: debug: ${printable(line)}\n`);
    } catch {
      // a reader that is slow, or gone, misses lines
    }
  };

/** Columns of an answer in facts where stdout is no terminal. */
const PIPED_WIDTH = 80;

/** Warnings beyond this number are counted, not printed: the JSON document has them all. */
const WARNINGS_SHOWN = 20;

/**
 * What every command shares: `--json` with one document on stdout, `--no-color`, and failures with the exit
 * codes of failure.ts.
 *
 * A command returns its document from `run()` and prints the same facts as text only when `jsonEnabled()` is
 * false. stdout is only ever the answer; {@link note} and {@link warnOf} write to stderr in both modes.
 */
export abstract class BaseCommand extends Command {
  /** Whether stdout has something of the document: then it is no place for another. */
  #printed = false;
  /** All words after the command: the parser leaves in `argv` what it was given to parse. */
  readonly #words = [...this.argv];

  static override enableJsonFlag = true;

  static override baseFlags: Interfaces.FlagInput = {
    json: Flags.boolean({
      description: 'print one JSON document, and nothing else on stdout',
      helpGroup: 'GLOBAL',
    }),
    'no-color': Flags.boolean({
      description: 'print no colours; kvfio also honours NO_COLOR and FORCE_COLOR',
      helpGroup: 'GLOBAL',
    }),
    debug: Flags.boolean({
      description: 'log each file that is read and each call to stderr, with times, as KVFIO_DEBUG=1 does',
      helpGroup: 'GLOBAL',
    }),
    quiet: Flags.boolean({
      description: 'print errors on stderr, but no notes or warnings; --json has the warnings',
      helpGroup: 'GLOBAL',
    }),
  };

  /** How text on stdout may look: its colours, and the width of the terminal (null when it is none). */
  protected async look(): Promise<{paint: ChalkInstance; width: number | null}> {
    return {
      paint: await colourFor('stdout', this.colour),
      width: process.stdout.isTTY ? process.stdout.columns || Number(process.env['COLUMNS']) || 80 : null,
    };
  }

  /** Writes lines of the answer to stdout. Text from outside in them must already be printable. */
  protected printLines(lines: readonly string[]): void {
    if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`);
  }

  /** Writes an answer that has one fact on a line, each broken at the width of the terminal, or at 80 columns. */
  protected async printFacts(linesOf: (paint: ChalkInstance) => readonly string[]): Promise<void> {
    const {paint, width} = await this.look();
    this.printLines(wrappedFacts(linesOf(paint), width ?? PIPED_WIDTH));
  }

  /** The same for lines that may be very many, which are written as stdout takes them. */
  protected async printManyLines(lines: Iterable<string>): Promise<void> {
    await this.printManyPieces(linePieces(lines));
  }

  /** The same for text that has its own line ends. */
  protected async printManyPieces(pieces: Iterable<string>): Promise<void> {
    await writeStream(pieces);
  }

  /**
   * Writes the document that `run()` returns, for one that may be very long: in pieces, as stdout takes them.
   *
   * @returns whether all of it is out. If not, nobody has asked for its later fields, and nobody should.
   */
  protected printDocument(document: object): Promise<boolean> {
    return writeStream(this.#printing(jsonPieces(document)));
  }

  /** Writes one of several documents, each on a line of its own; `run()` then returns none. */
  protected printJsonLine(document: object): void {
    this.#printed = true;
    process.stdout.write(`${printableJson(document)}\n`);
  }

  *#printing(pieces: Iterable<string>): Generator<string> {
    for (const piece of pieces) {
      this.#printed = true;
      yield piece;
    }
  }

  /** Writes one line about the answer to stderr. */
  protected note(line: string): void {
    if (!this.isGiven('--quiet')) this.tellWhy(line);
  }

  /** Prints on stderr the reason of the exit code, which `--quiet` leaves as it leaves errors. */
  protected tellWhy(line: string): void {
    process.stderr.write(`${wrapped(printable(line), stderrWidth(), '  ', 'kvfio: ').join('\n')}\n`);
  }

  /** Writes warnings to stderr, the first of many and the number of the others. */
  protected async warnOf(warnings: readonly {message: string}[]): Promise<void> {
    if (warnings.length === 0 || this.isGiven('--quiet')) return;
    const label = `kvfio: ${(await colourFor('stderr', this.colour)).yellow('warning:')}`;
    const shown = warnings.slice(0, WARNINGS_SHOWN).map(({message}) => printable(message));
    const rest = warnings.length - shown.length;
    if (rest > 0) shown.push(`${rest} more like these; --json lists them all`);
    const width = stderrWidth();
    const lines = shown.flatMap((text) => wrapped(text, width, '  ', `${label} `));
    process.stderr.write(`${lines.join('\n')}\n`);
  }

  protected override async init(): Promise<void> {
    if (this.isGiven('--debug') || !['', '0'].includes(process.env['KVFIO_DEBUG'] ?? '')) {
      const [{logCalls}, {writeSync}] = await Promise.all([
        import('../linux/log-calls.js'),
        import('node:fs'),
      ]);
      logCalls(debugLine(writeSync));
    }
    await super.init();
    // a command without flags has none, whatever the type says
    refuseLooseWords(this.argv, (this.ctor as {flags?: Record<string, object>}).flags ?? {});
  }

  override logJson(document: unknown): void {
    if (!this.#printed) process.stdout.write(`${printableJson(document, 2)}\n`);
  }

  protected override async catch(error: Error): Promise<void> {
    // oclif ends a command early with an ExitError, which is not a failure
    if ('code' in error && error.code === 'EEXIT') throw error;
    const argv = [this.id ?? '', ...this.#words];
    const failure = await withUsageHint(failureOf(error), {argv, commands: this.config.commands});
    process.exitCode = await reportFailure(failure, {
      json: this.jsonEnabled() && !this.#printed,
      colour: this.colour,
    });
  }

  /** The command's own words, and those behind "--", which are of a program that it runs. */
  protected splitArgv(): {own: string[]; program: string[]} {
    const at = this.argv.indexOf('--');
    return at === -1
      ? {own: this.argv, program: []}
      : {own: this.argv.slice(0, at), program: this.argv.slice(at + 1)};
  }

  private get colour(): boolean {
    return !this.isGiven('--no-color');
  }

  /** Whether a flag without a value is given, also when the command line was not understood. */
  private isGiven(flag: string): boolean {
    return this.splitArgv().own.includes(flag);
  }
}
