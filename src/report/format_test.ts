import { strict as assert } from "node:assert";
import { test } from "node:test";
import { formatDuration, formatNumber, formatValues } from "./format.ts";

test("formatDuration() keeps two units", () => {
  const rows: [number, string][] = [
    [0, "0.0s"],
    [0.84, "0.8s"],
    [9.94, "9.9s"],
    [9.96, "10s"],
    [59.4, "59s"],
    [59.6, "1m00s"],
    [184, "3m04s"],
    [3599.7, "1h00m"],
    [3720, "1h02m"],
    [183_600, "2d03h"],
    [Infinity, "?"],
    [NaN, "?"],
    [-1, "?"],
  ];
  for (const [seconds, expected] of rows) assert.equal(formatDuration(seconds), expected);
});

test("formatNumber() keeps four significant digits", () => {
  const rows: [number, string][] = [
    [0.123456, "0.1235"],
    [0.00123456, "0.001235"],
    [12.3456, "12.35"],
    [1234.56, "1235"],
    [123456.7, "123457"],
    [1.23456e-5, "1.235e-5"],
    [1.23456e12, "1.235e+12"],
    [-0.5, "-0.5000"],
    [1000, "1000"],
    [0, "0"],
    [NaN, "NaN"],
    [-Infinity, "-Infinity"],
  ];
  for (const [value, expected] of rows) assert.equal(formatNumber(value), expected);
});

test("formatValues() reads well", () => {
  assert.equal(
    formatValues({ loss: 0.25, lr: 1e-5, mode: "min" }),
    "loss 0.2500  lr 1.000e-5  mode min",
  );
});
