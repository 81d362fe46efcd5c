import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { checkImports } from "./check_imports.ts";
import { findImports } from "./imports.ts";

/** The problems of a made-up tree: file name to lines. */
function problemsOf(tree: Record<string, string[]>): string[] {
  const folder = mkdtempSync(join(tmpdir(), "downhill-imports-"));
  try {
    for (const [file, lines] of Object.entries(tree)) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), lines.join("\n"));
    }
    return checkImports(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("findImports() sees every form and no comment", () => {
  const source = [
    'import "./a.ts";',
    'import b from "./b.ts";',
    'import type { C } from "./c.ts";',
    "import {",
    "  D,",
    "  type E,",
    '} from "./d.ts";',
    'export * from "./e.ts";',
    'export * as f from "./f.ts";',
    'import type * as G from "./g.ts";',
    'export type { H } from "./h.ts";',
    'import i, { j } from "./i.ts";',
    'const k: typeof import("./k.ts") = await import("./l.ts");',
    'import type M from "./m.ts";',
    "/**",
    ' * import "./no.ts";',
    ' * await import("./no.ts")',
    " */",
    '  // import x from "./no.ts"',
    'export const n = { from: "./no.ts" };',
    'export function o(): string { return "from"; }',
  ].join("\n");
  assert.deepEqual(
    findImports(source).map(({ specifier, line, kind }) => [specifier, line, kind]),
    [
      ["./a.ts", 1, "bare"],
      ["./b.ts", 2, "value"],
      ["./c.ts", 3, "type"],
      ["./d.ts", 4, "value"],
      ["./e.ts", 8, "value"],
      ["./f.ts", 9, "value"],
      ["./g.ts", 10, "type"],
      ["./h.ts", 11, "type"],
      ["./i.ts", 12, "value"],
      ["./k.ts", 13, "dynamic"],
      ["./l.ts", 13, "dynamic"],
      ["./m.ts", 14, "type"],
    ],
  );
});

test("checkImports() accepts a tree that keeps the rules", () => {
  assert.deepEqual(
    problemsOf({
      "src/core/host.ts": ['import type * as FileSystem from "node:fs";'],
      "src/core/errors.ts": [],
      "src/report/console.ts": ['import { e } from "../core/errors.ts";'],
      "src/tensor/tf.ts": ['export * from "@tensorflow/tfjs-core";'],
      "src/data/csv.ts": ['import Papa from "papaparse";', 'import type { Stats } from "node:fs";'],
      "src/data/csv_test.ts": ['import { test } from "node:test";', 'import "../config/run.ts";'],
      "src/task/task.ts": ['import type { D } from "../data/csv.ts";'],
      "src/metric/mse.ts": ['import { mse } from "../loss/mse.ts";'],
      "src/loss/mse.ts": [],
      "src/backend/select.ts": [
        'import "@tensorflow/tfjs-backend-wasm";',
        "const gpu = navigator.gpu;",
        'import { log } from "../report/console.ts";',
      ],
      "src/optim/adam_test.ts": ['import "@tensorflow/tfjs-backend-cpu";'],
      "src/config/run.ts": ['import { t } from "../task/task.ts";', "// not navigator.gpu"],
      "src/parallel/pool.ts": ['import { wrap } from "comlink";'],
      "mod.ts": ['export * from "./src/config/run.ts";'],
      "cli.ts": ['import { r } from "./mod.ts";'],
      "workers/shard.ts": ['import { p } from "../src/parallel/pool.ts";'],
      "test/support/backend.ts": ['import "@tensorflow/tfjs-backend-cpu";'],
      "test/x_test.ts": ['import { r } from "../mod.ts";'],
    }),
    [],
  );
});

test("checkImports() finds each kind of fault", () => {
  const rows: [Record<string, string[]>, string][] = [
    [
      { "src/core/a.ts": ['import type { B } from "../data/b.ts";'], "src/data/b.ts": [] },
      "src/core/a.ts:1: core does not import data (src/data/b.ts): the arrow points up",
    ],
    [
      { "src/core/a.ts": ["", 'const b = await import("../data/b.ts");'], "src/data/b.ts": [] },
      "src/core/a.ts:2: core does not import data (src/data/b.ts): the arrow points up",
    ],
    [
      { "src/loss/a.ts": ['import { b } from "../data/b.ts";'], "src/data/b.ts": [] },
      "src/loss/a.ts:1: loss does not import data (src/data/b.ts): they stand on one rung",
    ],
    [
      { "src/runner/a.ts": ['import "../../workers/b.ts";'], "workers/b.ts": [] },
      "src/runner/a.ts:1: runner does not import workers (workers/b.ts): the arrow points up",
    ],
    [
      { "src/report/a.ts": ['import "../tensor/tf.ts";'], "src/tensor/tf.ts": [] },
      "src/report/a.ts:1: report does not import tensor (src/tensor/tf.ts): the arrow points up",
    ],
    [
      { "src/new/a.ts": [], "src/runner/b.ts": ['import "../new/a.ts";'] },
      "src/runner/b.ts:1: runner does not import new (src/new/a.ts): the arrow points up",
    ],
    [
      { "src/runner/a.ts": ['import "../../test/b.ts";'], "test/b.ts": [] },
      "src/runner/a.ts:1: test/b.ts is not on the ladder",
    ],
    [
      { "src/runner/a.ts": ['import "../core/b_test.ts";'], "src/core/b_test.ts": [] },
      "src/runner/a.ts:1: src/core/b_test.ts is a test",
    ],
    [
      { "src/config/a_test.ts": ['import "../../mod.ts";'], "mod.ts": [] },
      "src/config/a_test.ts:1: src/ does not import mod.ts",
    ],
    [
      { "examples/a.ts": ['import "./b";'], "examples/b.ts": [] },
      'examples/a.ts:1: "./b" does not end in .ts',
    ],
    [{ "test/a_test.ts": ['import "./b.ts";'] }, 'test/a_test.ts:1: "./b.ts" does not exist'],
    [
      { "src/data/a.ts": ['import { readFileSync } from "node:fs";'] },
      'src/data/a.ts:1: "node:fs" is reached through src/core/host.ts',
    ],
    [
      { "src/optim/a_test.ts": ['import * as tf from "@tensorflow/tfjs-core";'] },
      'src/optim/a_test.ts:1: "@tensorflow/tfjs-core" is named only in src/tensor',
    ],
    [
      { "mod.ts": ['import "@tensorflow/tfjs-backend-webgpu/dist/base";'] },
      'mod.ts:1: "@tensorflow/tfjs-backend-webgpu/dist/base" is named only in src/backend and src/kernels',
    ],
    [
      { "src/runner/a.ts": ['import { wrap } from "comlink";'] },
      'src/runner/a.ts:1: "comlink" is named only in src/parallel and workers/',
    ],
    [
      { "src/runner/a.ts": ["", "const gpu = navigator.gpu;"] },
      "src/runner/a.ts:2: navigator.gpu is named only in src/backend and src/kernels",
    ],
    [
      {
        "src/core/a.ts": ['import { b } from "./b.ts";'],
        "src/core/b.ts": ['import { c } from "./c.ts";'],
        "src/core/c.ts": ['import type { A } from "./a.ts";'],
      },
      "cycle: src/core/a.ts -> src/core/b.ts -> src/core/c.ts -> src/core/a.ts",
    ],
  ];
  for (const [tree, problem] of rows) assert.deepEqual(problemsOf(tree), [problem]);
});
