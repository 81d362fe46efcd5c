import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Counts, isNoise, readCounts } from "./test_output.ts";

test("readCounts() reads the closing lines of the three runners", () => {
  const rows: [string, Counts | undefined][] = [
    ["ok | 12 passed | 0 failed (630ms)", { passed: 12, failed: 0, skipped: 0 }],
    [
      "FAILED | 2 passed (1 step) | 1 failed | 3 ignored (18ms)\n\nerror: Test failed",
      { passed: 2, failed: 1, skipped: 3 },
    ],
    [
      "ok | 2 passed (4 steps) | 0 failed (1 step) | 1 ignored (2s)",
      { passed: 2, failed: 0, skipped: 1 },
    ],
    [
      " 4 pass\n 2 skip\n 2 fail\nRan 8 tests across 2 files. [62.00ms]",
      { passed: 4, failed: 2, skipped: 2 },
    ],
    [
      " 2 pass\n 0 fail\n 1 error\nRan 2 tests across 2 files. [49.00ms]",
      { passed: 2, failed: 1, skipped: 0 },
    ],
    [" 1 pass\n 0 fail\nRan 1 test across 1 file. [9.00ms]", { passed: 1, failed: 0, skipped: 0 }],
    [
      "ℹ tests 6\nℹ suites 0\nℹ pass 3\nℹ fail 1\nℹ cancelled 1\nℹ skipped 1\nℹ todo 0",
      { passed: 3, failed: 2, skipped: 1 },
    ],
    ["Segmentation fault", undefined],
    ["bun test v1.4.5\n 4 pass", undefined],
  ];
  for (const [text, counts] of rows) assert.deepEqual(readCounts(text.split("\n")), counts, text);
});

test("isNoise() takes passed tests and banners, and nothing else", () => {
  const rows: [string, boolean][] = [
    ["good ... ok (1ms)", true],
    ["(pass) good [2.22ms]", true],
    ["✔ good (1.404275ms)", true],
    ["  ✔ child (0.204846ms)", true],
    ["============================", true],
    ["bad ... FAILED (2ms)", false],
    ["== summary", false],
    ["(fail) bad [1.80ms]", false],
    ["✖ bad (1.817202ms)", false],
    ["﹣ skipped (0.224676ms) # no gpu", false],
    ["skipped ... ignored (0ms)", false],
    ["ok | 12 passed | 0 failed (630ms)", false],
  ];
  for (const [line, noise] of rows) assert.equal(isNoise(line), noise, line);
});
