/** Tables of numbers from CSV text: a header row, an optional time column, the rest numbers. */
// @ts-types="@types/papaparse"
import Papa from "papaparse";
import { DataError, show, suggest } from "../core/errors.ts";
import { fileSystem, pathModule } from "../core/host.ts";
import { parseTime } from "./calendar.ts";

/** What {@link readCsv} reads; give `path` or `content`. */
export interface CsvOptions {
  /** A UTF-8 file. */
  readonly path?: string;
  /** The text itself, for hosts without files. */
  readonly content?: string;
  /** The folder a relative `path` starts from. @default the working directory */
  readonly baseDirectory?: string;
  /** The columns to read, in this order. @default all but the time column */
  readonly columns?: readonly string[];
  /**
   * The column with time stamps; null for none. If left out, the first column is taken when its
   * first cell is a date and `columns` does not name it.
   */
  readonly timeColumn?: string | null;
}

/** A table of numbers. */
export interface CsvTable {
  /** Where it came from, for messages: the resolved path or `content`. */
  readonly name: string;
  /** The names of the value columns. */
  readonly columns: string[];
  /** Milliseconds since 1970, UTC; a time stamp without a zone is taken as UTC. */
  readonly times?: Float64Array;
  /** The line on which each row begins, from 1. */
  readonly lines: Int32Array;
  /** [rows, columns], row-major; NaN where a cell is empty, `NaN`, `NA` or `null` (in any case). */
  readonly values: Float32Array;
}

/**
 * Reads a CSV file or text.
 *
 * @throws {DataError} At the first fault, as `file:line:column name: rule, received value`; the
 * column counts cells from 1, the line is where the record begins.
 */
export function readCsv(options: CsvOptions): CsvTable {
  const { name, text } = source(options);
  const records = parseRecords(text, name);
  if (records.length === 0) {
    throw new DataError(`${name}: must have a header row, received no text`);
  }
  const header = records[0].cells.map((cell) => cell.trim().replaceAll(/\s+/g, " "));
  checkHeader(header, `${name}:${records[0].line}`);
  if (records.length === 1) {
    throw new DataError(`${name}:${records[0].line}: has a header and no rows`);
  }
  for (const { cells, line } of records) {
    if (cells.length !== header.length) {
      throw new DataError(
        `${name}:${line}:${
          Math.min(cells.length, header.length) + 1
        }: must have ${header.length} ` +
          `cells as the header has, received ${cells.length}`,
      );
    }
  }
  const rows = records.slice(1);
  const find = (column: string): number => {
    const at = header.indexOf(column);
    if (at >= 0) return at;
    throw new DataError(
      `${name}:${records[0].line}: no column ${show(column)}${suggest(column, header)}`,
    );
  };
  const timeAt = options.timeColumn === null
    ? -1
    : options.timeColumn !== undefined
    ? find(options.timeColumn)
    : options.columns?.includes(header[0]) !== true && !Number.isNaN(parseTime(rows[0].cells[0]))
    ? 0
    : -1;
  const chosen = options.columns?.map(find) ?? header.map((_, i) => i).filter((i) => i !== timeAt);
  if (chosen.length === 0) {
    throw new DataError(`${name}:${records[0].line}: must have a column of values`);
  }
  const at = (line: number, i: number) => `${name}:${line}:${i + 1} ${header[i]}`;
  const values = new Float32Array(rows.length * chosen.length);
  let k = 0;
  for (const { cells, line } of rows) {
    for (const i of chosen) values[k++] = number(cells[i], at, line, i);
  }
  const columns = chosen.map((i) => header[i]);
  const lines = Int32Array.from(rows, ({ line }) => line);
  if (timeAt < 0) return { name, columns, lines, values };
  const times = Float64Array.from(rows, ({ cells, line }) => {
    const time = parseTime(cells[timeAt]);
    if (!Number.isNaN(time)) return time;
    throw new DataError(
      `${at(line, timeAt)}: must be a time like 2016-07-01 00:00:00, received ${
        show(cells[timeAt])
      }`,
    );
  });
  return { name, columns, times, lines, values };
}

interface Row {
  readonly cells: readonly string[];
  /** The line on which the record begins, from 1. */
  readonly line: number;
}

function source(options: CsvOptions): { name: string; text: string } {
  const { path, content } = options;
  if ((path === undefined) === (content === undefined)) {
    throw new DataError(
      `a CSV needs 'path' or 'content', received ${path === undefined ? "neither" : "both"}`,
    );
  }
  if (content !== undefined) return { name: "content", text: content };
  let file = path as string;
  try {
    file = pathModule().resolve(options.baseDirectory ?? "", file);
    return { name: file, text: fileSystem().readFileSync(file, "utf8") };
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    const reason = code === "ENOENT" ? "no such file" : message.split("\n")[0];
    throw new DataError(`cannot read ${file}: ${reason}`, { cause: error });
  }
}

/** The records that are not blank lines, with their line numbers. */
function parseRecords(text: string, name: string): Row[] {
  const { data, errors } = Papa.parse<string[]>(text.replaceAll(/\r\n?/g, "\n"), {
    delimiter: ",",
    newline: "\n",
  });
  const fault = errors.find((error) => error.type === "Quotes");
  const multiline = text.includes('"');
  const rows: Row[] = [];
  let line = 1;
  data.forEach((cells, i) => {
    if (fault !== undefined && fault.row === i) {
      throw new DataError(`${name}:${line}: ${fault.message}`);
    }
    if (cells.length > 1 || cells[0].trim() !== "") rows.push({ cells, line });
    line++;
    if (!multiline) return;
    for (const cell of cells) line += cell.split("\n").length - 1;
  });
  return rows;
}

function checkHeader(header: readonly string[], where: string): void {
  if (header.every((cell) => cell !== "" && Number.isFinite(Number(cell)))) {
    throw new DataError(
      `${where}: must be a header row of column names, received ${show(header.join(","))}`,
    );
  }
  header.forEach((name, i) => {
    const first = header.indexOf(name);
    if (first !== i) {
      throw new DataError(
        `${where}:${i + 1} ${name}: must be named differently from column ${first + 1}`,
      );
    }
  });
}

const missing = new Set(["", "nan", "na", "null"]);

function number(
  cell: string,
  at: (line: number, i: number) => string,
  line: number,
  i: number,
): number {
  const value = Number(cell);
  if (Number.isFinite(Math.fround(value)) && cell.trim() !== "") return value;
  if (missing.has(cell.trim().toLowerCase())) return NaN;
  const rule = Number.isFinite(value) ? "a float32 number" : "a number";
  throw new DataError(`${at(line, i)}: must be ${rule}, received ${show(cell)}`);
}
