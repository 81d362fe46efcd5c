/** The order of the hooks, which is the table of ARCHITECTURE.md, when a run ends, stops, fails and resumes. */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  type Callback,
  EarlyStopping,
  IterationRunner,
  type RunConfig,
  type RunView,
} from "../../mod.ts";
import { hookNames } from "../../src/runner/hooks.ts";
import { root } from "../support/root.ts";
import { Lines, withFolder } from "../support/runs.ts";
import { linearConfig } from "./support.ts";

const hooks = [
  "setup",
  "load",
  "trainStart",
  "iterationStart",
  "batch",
  "output",
  "loss",
  "gradients",
  "updateEnd",
  "values",
  "log",
  "evaluationStart",
  "evaluationEnd",
  "validationEnd",
  "testEnd",
  "iterationEnd",
  "save",
  "state",
  "trainEnd",
  "finish",
  "exception",
  "dispose",
] as const;

test("ARCHITECTURE.md has a row for every hook", () => {
  const table = readFileSync(join(root, "ARCHITECTURE.md"), "utf8").split("\n## Hooks\n")[1];
  const rows = table.split("\n## ")[0].matchAll(/^\| `(\w+)` /gm);
  assert.deepEqual([...rows].map(([, name]) => name).sort(), [...hookNames].sort());
});

/** Keeps the names of the hooks in the order they are called; `at` may act in one. */
function recorder(events: string[], at: Partial<Record<string, (run: RunView) => void>> = {}) {
  const callback: Record<string, unknown> = { name: "Recorder" };
  for (const hook of hooks) {
    callback[hook] = (...args: unknown[]) => {
      const which = hook === "log" || hook === "values"
        ? ` ${args[0]}`
        : hook === "trainEnd"
        ? ` ${args[0]}`
        : "";
      events.push(hook + which);
      at[hook]?.(args[args.length - 1] as RunView);
      if (hook === "state") return {};
      return hook === "values" ? args[1] : args[0];
    };
  }
  return callback as unknown as Callback;
}

function config(directory: string, callback: Callback, iterations = 2): RunConfig {
  return linearConfig({
    name: "run",
    train: { iterations, batchSize: 2, accumulate: 2 },
    log: { interval: 1, progress: false, tensorboard: false },
    validation: { interval: 2, sanity: 1 },
    test: { interval: 1 },
    checkpoint: { directory, interval: 1 },
    callbacks: [callback],
  });
}

const pass = ["output", "loss"];
const update = [
  "iterationStart",
  "batch",
  ...pass,
  ...pass,
  "gradients",
  "updateEnd",
  "values train",
  "log train",
];
const evaluation = ["evaluationStart", "evaluationEnd"];
const validation = [...evaluation, "values val", "log val", "validationEnd"];
const testing = ["values test", "log test", "testEnd"];
const save = ["state", "save"];
const start = ["setup", "trainStart"];

async function record(
  directory: string,
  events: string[],
  at: Parameters<typeof recorder>[1] = {},
  iterations?: number,
): Promise<unknown> {
  const run = await IterationRunner.create(config(directory, recorder(events, at), iterations), {
    output: new Lines(),
  });
  try {
    await run.train();
  } catch (error) {
    return error;
  } finally {
    run.dispose();
  }
}

test("hooks of a run to its end, of the finished run again, and of more iterations", async () => {
  await withFolder(async (directory) => {
    const events: string[] = [];
    await record(directory, events);
    assert.deepEqual(events, [
      ...start,
      ...evaluation,
      ...update,
      ...evaluation,
      ...testing,
      "iterationEnd",
      ...save,
      ...update,
      ...validation,
      ...evaluation,
      ...testing,
      "iterationEnd",
      ...save,
      "trainEnd iterations",
      // The final test takes the best weights, which are averages already; these are on record.
      "testEnd",
      "finish",
      "dispose",
    ]);

    const again: string[] = [];
    await record(directory, again);
    assert.deepEqual(again, [
      "setup",
      "load",
      "testEnd",
      "finish",
      "dispose",
    ]);

    const more: string[] = [];
    await record(directory, more, {}, 3);
    assert.deepEqual(more, [
      "setup",
      "load",
      "trainStart",
      ...update,
      ...validation,
      ...evaluation,
      ...testing,
      "iterationEnd",
      ...save,
      "trainEnd iterations",
      "testEnd",
      "finish",
      "dispose",
    ]);
  });
});

test("hooks of a run that is stopped, and of the resumed one", async () => {
  await withFolder(async (directory) => {
    const events: string[] = [];
    await record(directory, events, { updateEnd: (run) => run.stop("signal") });
    assert.deepEqual(events, [
      ...start,
      ...evaluation,
      ...update,
      ...evaluation,
      ...testing,
      "iterationEnd",
      ...save,
      ...save,
      "trainEnd signal",
      "finish",
      "dispose",
    ]);
    const resumed: string[] = [];
    await record(directory, resumed);
    assert.deepEqual(resumed.slice(0, 3 + update.length), [
      "setup",
      "load",
      "trainStart",
      ...update,
    ]);
  });
});

test("hooks of a run that fails: in a pass, in an evaluation, in a hook of its own", async () => {
  const fail = (run: RunView) => {
    if (run?.state?.iteration !== 0) throw new Error("broken");
  };
  const rows: [string, Parameters<typeof recorder>[1], string[]][] = [
    ["loss", { loss: fail }, [...start, ...evaluation, "iterationStart", "batch", ...pass]],
    [
      "updateEnd",
      { updateEnd: fail },
      [...start, ...evaluation, ...update.slice(0, update.indexOf("updateEnd") + 1), "state"],
    ],
    [
      "evaluationEnd",
      { evaluationEnd: fail },
      [...start, ...evaluation, ...update, ...evaluation, "state"],
    ],
    ["exception", {
      updateEnd: fail,
      exception: () => {
        throw new Error("second");
      },
    }, [...start, ...evaluation, ...update.slice(0, update.indexOf("updateEnd") + 1), "state"]],
  ];
  for (const [hook, at, expected] of rows) {
    await withFolder(async (directory) => {
      const events: string[] = [];
      const error = await record(directory, events, at);
      assert.equal((error as Error).message, "broken", hook);
      assert.deepEqual(events, [...expected, "exception", "dispose"], hook);
    });
  }
});

test("evaluationEnd is called when the evaluation throws", async () => {
  await withFolder(async (directory) => {
    const events: string[] = [];
    const broken = config(directory, recorder(events));
    let created = false;
    const run = await IterationRunner.create({
      ...broken,
      model: {
        type: async (...args: never[]) => {
          const model = await (broken.model.type as (...args: never[]) => never)(...args) as {
            forward: (batch: never, context: { training: boolean }) => unknown;
          };
          const forward = model.forward;
          model.forward = (batch, context) => {
            if (created && !context.training) throw new Error("broken");
            return forward(batch, context);
          };
          return model;
        },
      },
    }, { output: new Lines() });
    created = true;
    await assert.rejects(run.train(), /broken/);
    run.dispose();
    assert.deepEqual(events, [...start, ...evaluation, "exception", "dispose"]);
  });
});

test("callbacks come in the order of the config, then shorthands, reports, and Checkpoint last", async () => {
  await withFolder(async (directory) => {
    const order: string[] = [];
    const spy = (name: string): Callback => ({
      name,
      gradients: (value) => (order.push(name), value),
      iterationEnd: () => void order.push(`${name} end`),
    });
    const lines = new Lines();
    const run = await IterationRunner.create({
      ...linearConfig({
        name: "run",
        train: { iterations: 1, batchSize: 4, clipGrad: { maxNorm: 1e-6 } },
        checkpoint: { directory },
      }),
      callbacks: [spy("b"), spy("a")],
    }, { output: lines });
    await run.train();
    run.dispose();
    assert.deepEqual(order, ["b", "a", "b end", "a end"]);
  });
});

test("two callbacks of one name are refused", async () => {
  const named: Callback = { name: "same", updateEnd: () => {} };
  await assert.rejects(
    IterationRunner.create(linearConfig({ callbacks: [named, { ...named }] })),
    {
      name: "ConfigError",
      message: /^callbacks\[1\]: must have a name of its own, received "same" twice$/,
    },
  );
  for (
    const [path, section] of [
      ["earlyStopping", { earlyStopping: { patience: 3 }, callbacks: [{ type: "EarlyStopping" }] }],
      ["train.clipGrad", {
        train: { iterations: 1, clipGrad: { maxNorm: 1 } },
        callbacks: [{ type: "ClipGradients", params: { maxNorm: 1 } }],
      }],
      ["earlyStopping", { earlyStopping: { patience: 3 }, callbacks: [new EarlyStopping()] }],
    ] as const
  ) {
    await assert.rejects(
      IterationRunner.create(linearConfig(section as never)),
      { name: "ConfigError", message: new RegExp(`^${path}: is shorthand for the callback`) },
    );
  }
});
