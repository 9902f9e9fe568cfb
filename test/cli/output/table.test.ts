import assert from 'node:assert/strict';
import {Chalk} from 'chalk';
import {csvLines, sorted, tableLines, type Column, type TableOptions} from '../../../src/cli/output/table.js';

interface Row {
  id: number;
  name: string;
}

const ID: Column<Row> = {name: 'id', text: ({id}) => String(id)};
const NAME: Column<Row> = {
  name: 'name',
  text: ({name}) => name,
  flexible: true,
  paint: (text, _row, paint) => paint.red(text),
};

const plain = new Chalk({level: 0});
const options: TableOptions = {header: true, paint: plain, width: null};
const table = (rows: Row[], rest: Partial<TableOptions> = {}): Promise<string[]> =>
  tableLines(rows, [ID, NAME, ID], {...options, ...rest});

/** As many rows as make a table too long to be drawn by the library. */
const many = (row: Row): Row[] => new Array<Row>(600).fill(row);

describe('a table', () => {
  it('has two spaces between columns, none at the end, and upper-case heads', async () => {
    assert.deepEqual(
      await tableLines(
        [
          {id: 1, name: 'a'},
          {id: 22, name: 'long name'},
        ],
        [ID, NAME],
        options,
      ),
      ['ID  NAME', '1   a', '22  long name'],
    );
  });

  it('shows an empty cell as a dash, so that fields can be counted', async () => {
    assert.deepEqual(await table([{id: 1, name: ''}], {header: false}), ['1  -  1']);
  });

  it('cuts nothing where there is no terminal', async () => {
    const name = 'x'.repeat(500);
    assert.deepEqual(await table([{id: 1, name}], {header: false}), [`1  ${name}  1`]);
  });

  it('cuts no wide characters where there is no terminal', async () => {
    const name = '漢字'.repeat(20);
    assert.deepEqual(await table([{id: 1, name}], {header: false}), [`1  ${name}  1`]);
  });

  it('aligns what stands behind wide characters, marks and plain ones, drawn or not', async () => {
    const rows = [
      {id: 1, name: '漢字'},
      {id: 2, name: 'e\u0301a'},
      {id: 3, name: 'four'},
    ];
    const aligned = ['1  漢字  1', '2  e\u0301a    2', '3  four  3'];
    assert.deepEqual(await table(rows, {header: false}), aligned);
    assert.deepEqual(await table(rows, {header: false, width: 40}), aligned);
  });

  for (const [length, rows] of [
    ['short', (row: Row) => [row]],
    ['long', many],
  ] as const) {
    it(`cuts wide characters whole, so that a line is no wider than the terminal (${length} table)`, async () => {
      const [line] = await table(rows({id: 1, name: '漢字'.repeat(20)}), {header: false, width: 40});
      // 34 columns are left, and an ellipsis needs one
      assert.equal(line, `1  ${'漢字'.repeat(8)}…   1`);
    });

    it(`narrows flexible columns to the terminal's width and marks the cut (${length} table)`, async () => {
      const lines = await table(rows({id: 1, name: 'y'.repeat(100)}), {width: 40});
      assert.equal(lines[1], `1   ${'y'.repeat(31)}…  1`);
      for (const line of lines) assert.ok(line.length <= 40, line);
    });

    it(`continues a row on a line of its own, heads too, where a terminal is too narrow (${length} table)`, async () => {
      const lines = await table(rows({id: 123456789, name: 'y'.repeat(100)}), {width: 32});
      assert.deepEqual(lines.slice(0, 4), [
        'ID         NAME',
        '    ID',
        `123456789  ${'y'.repeat(20)}…`,
        '    123456789',
      ]);
    });

    it(`leaves columns that may not be cut whole on any terminal (${length} table)`, async () => {
      const lines = await table(rows({id: 123456789, name: 'y'.repeat(100)}), {width: 4, header: false});
      assert.deepEqual(lines.slice(0, 3), ['123456789', `    ${'y'.repeat(11)}…`, '    123456789']);
    });

    it(`takes a shorter text where there is one, and cuts only the last (${length} table)`, async () => {
      const words: Column<Row> = {...NAME, shorter: () => ['maker model number', 'model numbers']};
      const row = {id: 1, name: 'class: maker model number'};
      for (const [width, shown] of [
        [28, row.name],
        [27, 'maker model number'],
        [20, 'model numbers'],
        [15, 'model numbe…'],
      ] as const) {
        const lines = await tableLines(rows(row), [ID, {...words, name: 'n'}], {
          ...options,
          width,
          header: false,
        });
        assert.equal(lines[0], `1  ${shown}`, String(width));
      }
    });

    it(`paints after it has measured (${length} table)`, async () => {
      const red = new Chalk({level: 1});
      const lines = await table(rows({id: 1, name: 'a'}), {paint: red, header: false});
      assert.equal(lines[0], '1  \u001b[31ma\u001b[39m  1');
    });
  }

  it('makes text from outside printable', async () => {
    const lines = await table([{id: 1, name: 'a\u001b[2Jb\nc\u202e'}], {header: false});
    assert.deepEqual(lines, ['1  a\\x1b[2Jb\\x0ac\\u202e  1']);
  });

  it('looks the same short and long', async () => {
    const row = {id: 7, name: 'a b'};
    const [short, long] = [await table([row]), await table(many(row))];
    assert.deepEqual(long.slice(0, 2), short);
  });
});

describe('comma-separated values', () => {
  it('quote commas, quotes and nothing else (RFC 4180)', () => {
    const rows = ['plain', 'a,b', 'say "hi"', ' space '].map((name, id) => ({id, name}));
    assert.deepEqual(csvLines(rows, [ID, NAME], true), [
      'id,name',
      '0,plain',
      '1,"a,b"',
      '2,"say ""hi"""',
      '3, space ',
    ]);
  });

  it('keep one line for one row, whatever the text holds', () => {
    assert.deepEqual(csvLines([{id: 0, name: 'a\r\nb'}], [ID, NAME], false), ['0,a\\x0d\\x0ab']);
  });

  it('leave an empty cell empty', () => {
    assert.deepEqual(csvLines([{id: 0, name: ''}], [ID, NAME], false), ['0,']);
  });
});

describe('sorting', () => {
  const rows = ['b10', 'b9', 'a'].map((name, id) => ({id, name}));
  const names = (list: Row[]): string[] => list.map(({name}) => name);

  it('compares numbers in text as numbers', () => {
    assert.deepEqual(names(sorted(rows, NAME, false)), ['a', 'b9', 'b10']);
    assert.deepEqual(names(sorted(rows, NAME, true)), ['b10', 'b9', 'a']);
  });

  it('keeps the order of equal rows, downwards too', () => {
    const same: Column<Row> = {name: 'same', text: () => ''};
    assert.deepEqual(names(sorted(rows, same, false)), names(rows));
    assert.deepEqual(names(sorted(rows, same, true)), names(rows));
  });
});
