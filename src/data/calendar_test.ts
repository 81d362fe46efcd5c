import { strict as assert } from "node:assert";
import { test } from "node:test";
import { calendarFeatures, parseTime, requireOrder, timeFeatureNames } from "./calendar.ts";

test("parseTime() reads ISO dates and times as UTC, zones shift them", () => {
  const rows: [string, number][] = [
    ["1970-01-01", 0],
    ["2016-07-01 00:00:00", 1467331200000],
    ["2016-07-01T01:30", 1467336600000],
    [" 2016/7/1 1:30 ", 1467336600000],
    ["2016-07-01T01:30:00.25Z", 1467336600250],
    ["2016-07-01T01:30:00+02:00", 1467329400000],
    ["2016-07-01 01:30:00 -0530", 1467356400000],
    ["2016-07-01 01:30:00 UTC", 1467336600000],
    ["2020-02-29", 1582934400000],
    ["1949-12", -633830400000],
    // The hour that Europe and the United States skip or repeat: always one hour apart.
    ["2016-03-27 02:30:00", 1459045800000],
    ["2016-03-27 03:30:00", 1459049400000],
    ["2016-11-06 01:30:00", 1478395800000],
    ["2016-11-06 02:30:00", 1478399400000],
  ];
  for (const [text, time] of rows) assert.equal(parseTime(text), time, text);
  const wrong = ["", "2016", "12.5", "2016-13-01", "2019-02-29", "2016-04-31", "2016-07-01 24:00"];
  for (const text of [...wrong, "2016-07-01 10:60", "1/2/2016", "today", "2016-07-01x", "-1"]) {
    assert.ok(Number.isNaN(parseTime(text)), text);
  }
});

test("calendarFeatures() are position / period, by hand", () => {
  const rows: [string, number[]][] = [
    // A Friday, the 183rd day of a leap year.
    ["2016-07-01 00:00:00", [0, 4 / 7, 0, 182 / 366, 6 / 12]],
    ["2016-12-31 18:00:00", [0.75, 5 / 7, 30 / 31, 365 / 366, 11 / 12]],
    ["2017-01-01 06:30:00", [6.5 / 24, 6 / 7, 0, 0, 0]],
    ["2018-03-05 23:59:59", [86399 / 86400, 0, 4 / 31, 63 / 366, 2 / 12]],
    // Before 1970: a Wednesday.
    ["1969-12-31 12:00:00", [0.5, 2 / 7, 30 / 31, 364 / 366, 11 / 12]],
  ];
  const times = Float64Array.from(rows, ([text]) => parseTime(text));
  const found = calendarFeatures(times, timeFeatureNames);
  assert.deepEqual([...found], rows.flatMap(([, x]) => x.map(Math.fround)));
  assert.deepEqual(
    [...calendarFeatures(times, ["dayOfWeek", "timeOfDay"])].slice(0, 2),
    [Math.fround(4 / 7), 0],
  );
});

test("requireOrder() lets a clock change pass and refuses times that go back", () => {
  const hour = 3_600_000;
  const at = (hours: number[]) => Float64Array.from(hours, (h) => h * hour);
  for (const hours of [[], [5], [0, 1, 2, 9], [0, 1, 1, 2], [0, 0.5, 1, 1.5, 0.5, 1, 1.5, 2]]) {
    requireOrder(at(hours), "x");
  }
  const rows: [number[], number, string][] = [
    [[3, 2, 1, 0], 3, "1970-01-01T00:00:00.000Z after 1970-01-01T03:00:00.000Z"],
    [[0, 9, 2, 3], 2, "1970-01-01T02:00:00.000Z after 1970-01-01T09:00:00.000Z"],
    [[1, 0.75, 0.5], 2, "1970-01-01T00:30:00.000Z after 1970-01-01T01:00:00.000Z"],
  ];
  for (const [hours, row, found] of rows) {
    const lines = Int32Array.from(hours, (_, i) => 10 + 2 * i);
    assert.throws(() => requireOrder(at(hours), "x.csv", lines), {
      name: "DataError",
      message: `x.csv:${10 + 2 * row}: must be in order of time, received ${found}`,
    });
    assert.throws(() => requireOrder(at(hours), "x"), {
      name: "DataError",
      message: `x: row ${row}: must be in order of time, received ${found}`,
    });
  }
});
