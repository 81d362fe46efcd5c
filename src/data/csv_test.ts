import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type CsvOptions, readCsv } from "./csv.ts";

test("readCsv() reads times and values, missing cells as NaN", () => {
  const content = "date,a,b\n2016-07-01 00:00:00,1,-2.5e1\n2016-07-01 01:00:00,,NaN\n" +
    "2016-07-01 02:00:00,NA, 3 \n2016-07-01T03:00:00Z,null,4";
  const table = readCsv({ content });
  assert.deepEqual(table.columns, ["a", "b"]);
  assert.deepEqual([...table.values], [1, -25, NaN, NaN, NaN, 3, NaN, 4]);
  const hour = 3600_000, start = 1467331200000;
  assert.deepEqual([...table.times ?? []], [0, 1, 2, 3].map((h) => start + h * hour));
});

test("readCsv() takes BOM, CRLF, quotes, blank lines and a newline in quotes", () => {
  const content =
    '\uFEFFtime,"a, b","say ""hi"""\r\n2020-01-01,"1",2\r\n\r\n"2020-01-02",3,"4"\r\n';
  const table = readCsv({ content });
  assert.deepEqual(table.columns, ["a, b", 'say "hi"']);
  assert.deepEqual([...table.values], [1, 2, 3, 4]);
  assert.equal(table.times?.length, 2);
  const lines = 'a,"b\r\nc"\r\n1,2\r\n\r\n3,x\r\n';
  assert.throws(() => readCsv({ content: lines }), /^DataError: content:5:2 b c: must be a number/);
});

test("readCsv() chooses columns and the time column", () => {
  const content = "a,when,b\n1,2020-01-01,2\n3,2020-01-02,4\n";
  const rows: [CsvOptions, string[], number[], boolean][] = [
    [{ timeColumn: "when" }, ["a", "b"], [1, 2, 3, 4], true],
    [{ timeColumn: "when", columns: ["b"] }, ["b"], [2, 4], true],
    [{ columns: ["b", "a"] }, ["b", "a"], [2, 1, 4, 3], false],
  ];
  for (const [options, columns, values, timed] of rows) {
    const table = readCsv({ content, ...options });
    assert.deepEqual([table.columns, [...table.values]], [columns, values]);
    assert.equal(table.times !== undefined, timed);
  }
});

test("readCsv() names file, line, column, rule and value", () => {
  const rows: [string, Partial<CsvOptions>, RegExp][] = [
    ["a,b\n1,x\n", {}, /^content:2:2 b: must be a number, received "x"$/],
    ["a,b\n1,2\n3,1e999\n", {}, /^content:3:2 b: must be a number, received "1e999"$/],
    [
      'a,b\n"1","2"\n\n3,-1e39\n',
      {},
      /^content:4:2 b: must be a float32 number, received "-1e39"$/,
    ],
    ["a,b\n1,2\n3\n", {}, /^content:3:2: must have 2 cells as the header has, received 1$/],
    ["a,b\n1,2\n3,4,5\n", {}, /^content:3:3: must have 2 cells as the header has, received 3$/],
    ["", {}, /^content: must have a header row, received no text$/],
    ["\n \n", {}, /^content: must have a header row/],
    ["a,b\n", {}, /^content:1: has a header and no rows$/],
    ["1,2\n3,4\n", {}, /^content:1: must be a header row of column names, received "1,2"$/],
    ["a,b,a\n1,2,3\n", {}, /^content:1:3 a: must be named differently from column 1$/],
    [
      "HUFL,OT\n1,2\n",
      { columns: ["OTT"] },
      /^content:1: no column "OTT"; did you mean 'OT'\? known: HUFL, OT$/,
    ],
    ["a,b\n1,2\n", { timeColumn: "time" }, /^content:1: no column "time"/],
    ["t,b\n2020-01-01,2\nsoon,2\n", {}, /^content:3:1 t: must be a time like .* received "soon"$/],
    [
      "t,b\n2020-01-01,2\n",
      { timeColumn: null },
      /^content:2:1 t: must be a number, received "2020-01-01"$/,
    ],
    ["t\n2020-01-01\n", {}, /^content:1: must have a column of values$/],
    ['a,"b\nc"\n1,"2"x\n', {}, /^content:3: Trailing quote on quoted field is malformed$/],
    ['a,b\n1,"2\n', {}, /^content:2: Quoted field unterminated$/],
  ];
  for (const [content, options, message] of rows) {
    assert.throws(() => readCsv({ content, ...options }), (error: Error) => {
      assert.equal(error.name, "DataError");
      assert.match(error.message, message);
      assert.ok(!error.message.includes("\n"), error.message);
      return true;
    });
  }
});

test("readCsv() reads a file and says which one is missing", () => {
  const folder = mkdtempSync(join(tmpdir(), "downhill-csv-"));
  try {
    const file = join(folder, "a.csv");
    writeFileSync(file, "\uFEFFa,b\n1,2\n3,oops\n");
    assert.deepEqual(
      [...readCsv({ path: "a.csv", baseDirectory: folder, columns: ["a"] }).values],
      [1, 3],
    );
    assert.throws(() => readCsv({ path: file }), {
      message: `${file}:3:2 b: must be a number, received "oops"`,
    });
    const absent = join(folder, "b.csv");
    assert.throws(() => readCsv({ path: "b.csv", baseDirectory: folder }), {
      name: "DataError",
      message: `cannot read ${absent}: no such file`,
    });
    assert.throws(() => readCsv({ path: folder }), /^DataError: cannot read .*EISDIR/);
    assert.throws(() => readCsv({}), /needs 'path' or 'content', received neither/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
