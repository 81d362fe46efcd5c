/** What a run does with a directory that holds a run: test again, go on, begin anew, or refuse. */
import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Callback, IterationRunner, type RunConfig, saveWeights, tf } from "../../mod.ts";
import { Lines, type Overrides, trainOnce, withFolder } from "../support/runs.ts";
import {
  linear,
  linearConfig,
  normed,
  observe,
  records,
  regression,
  weightsOf,
} from "./support.ts";

function config(directory: string, overrides: Overrides = {}): RunConfig {
  return linearConfig({
    name: "run",
    optimizer: { type: "SGD", params: { lr: 0.05, momentum: 0.9 } },
    checkpoint: { directory, interval: 4 },
    log: { interval: 3, progress: false, tensorboard: false },
    ...overrides,
  });
}

const stopAt = (k: number): Callback => ({
  name: "ProgressBar",
  iterationEnd: (run) => run.state.iteration === k ? run.stop("signal") : undefined,
});

const bytes = (directory: string, name = "metrics.jsonl"): string =>
  readFileSync(join(directory, "run", name), "utf8");

/** Every file of a run directory, and its bytes. */
function contents(folder: string): Record<string, string> {
  const names = (readdirSync(folder, { recursive: true }) as string[]).sort();
  const files = names.filter((name) => statSync(join(folder, name)).isFile());
  return Object.fromEntries(
    files.map((name) => [name, readFileSync(join(folder, name)).toString("latin1")]),
  );
}

test("a finished run started again says so, tests, and leaves every file as it was", async () => {
  const early = {
    earlyStopping: { patience: 1, min_delta: 100 },
    validation: { interval: 3 },
  };
  const rows: [reason: string, iterations: number, overrides: Overrides][] = [
    ["iterations", 10, {}],
    ["iterations", 10, { test: { interval: 5 } }],
    ["early-stopping", 6, early],
    ["early-stopping", 6, { ...early, test: { interval: 3 } }],
  ];
  for (const [reason, iterations, overrides] of rows) {
    await withFolder(async (directory) => {
      const settings = config(directory, {
        log: { interval: 3, progress: false },
        ...overrides,
      });
      const first = await trainOnce(settings);
      assert.deepEqual([first.summary.finished, first.summary.iterations], [reason, iterations]);
      const before = contents(directory);
      const fewer = { ...settings, train: { ...settings.train, iterations: 5 } };
      for (const again of [settings, fewer]) {
        const { summary, lines } = await trainOnce(again);
        assert.deepEqual(summary, first.summary);
        const how = reason === "iterations"
          ? ""
          : ' (checkpoint.resume "continue" goes on, "never" or another name trains anew)';
        assert.ok(lines.some((line) => line.endsWith(`testing only${how}`)));
        assert.deepEqual(contents(directory), before);
      }
    });
  }
});

test("more iterations: a finished run goes on and ends with the weights of one long run", async () => {
  await withFolder(async (directory) => {
    const long = { train: { iterations: 17, batchSize: 4 }, validation: { interval: 5 } };
    const whole = await observe(config(directory, { ...long, checkpoint: false }));
    await trainOnce(config(directory, { validation: { interval: 5 } }));
    const { summary, lines } = await trainOnce(config(directory, long));
    assert.equal(summary.iterations, 17);
    assert.equal(summary.weightsSha256, whole.summary.weightsSha256);
    assert.deepEqual(summary.test, whole.summary.test);
    assert.ok(lines.some((line) => /^resuming .* after iteration 10$/.test(line)));
    assert.equal(JSON.parse(bytes(directory, "config.json")).train.iterations, 17);
    assert.deepEqual(
      records(directory, "run").map(({ phase, iteration }) => `${phase} ${iteration}`).slice(-6),
      ["val 10", "train 12", "train 15", "val 15", "train 17", "val 17", "test 17"].slice(-6),
    );
  });
});

test("fewer iterations than were made: nothing is trained, and it says how many there are", async () => {
  await withFolder(async (directory) => {
    const { summary } = await trainOnce(config(directory));
    const again = await trainOnce(config(directory, { train: { iterations: 5, batchSize: 4 } }));
    assert.equal(again.summary.iterations, 10);
    assert.equal(again.summary.weightsSha256, summary.weightsSha256);
  });
});

test("a finished run that was killed in its final test makes up for it", async () => {
  await withFolder(async (directory) => {
    const { summary } = await trainOnce(config(directory));
    const before = bytes(directory);
    for (const kept of [undefined, JSON.stringify({ ...summary, finished: "max-time" }), "{"]) {
      const file = join(directory, "run", "summary.json");
      if (kept === undefined) rmSync(file);
      else writeFileSync(file, kept);
      const lines = before.trimEnd().split("\n").slice(0, -1);
      writeFileSync(join(directory, "run", "metrics.jsonl"), `${lines.join("\n")}\n`);
      await trainOnce(config(directory));
      assert.equal(bytes(directory), before);
      assert.deepEqual(JSON.parse(bytes(directory, "summary.json")).test, summary.test);
    }
  });
});

test("train() called again in one process goes on, and does not write twice", async () => {
  await withFolder(async (directory) => {
    const whole = await trainOnce(config(directory, { name: "whole" }));
    const run = await IterationRunner.create(
      config(directory, { callbacks: [stopAt(4)], test: { interval: 2 } }),
      { output: new Lines() },
    );
    assert.equal((await run.train()).finished, "signal");
    const { finished, iterations, weightsSha256 } = await run.train();
    assert.deepEqual([finished, iterations], ["iterations", 10]);
    assert.equal(weightsSha256, whole.summary.weightsSha256);
    const written = bytes(directory);
    await run.train();
    assert.equal(bytes(directory), written);
    run.dispose();
  });
});

test('resume "never" begins anew, "required" wants a checkpoint', async () => {
  await withFolder(async (directory) => {
    const rule = (resume: string) =>
      config(directory, { checkpoint: { directory, interval: 4, resume } });
    await assert.rejects(trainOnce(rule("required")), {
      name: "CheckpointError",
      message: /^checkpoint\.resume is "required" and .*run holds no checkpoint$/,
    });
    assert.ok(!existsSync(join(directory, "run", "config.json")));
    const whole = await trainOnce(rule("auto"));
    const written = bytes(directory);
    rmSync(join(directory, "run"), { recursive: true });

    await trainOnce({ ...rule("auto"), callbacks: [stopAt(6)] });
    const anew = await trainOnce({ ...rule("never"), callbacks: [stopAt(3)] });
    assert.equal(anew.summary.iterations, 3);
    // The checkpoint of iteration 6 is of another life.
    assert.deepEqual(
      readdirSync(join(directory, "run", "checkpoints")).filter((f) => /^step/.test(f)),
      [
        "step-00000003.safetensors",
      ],
    );
    const { summary } = await trainOnce(rule("required"));
    assert.equal(summary.weightsSha256, whole.summary.weightsSha256);
    assert.equal(bytes(directory), written);
  });
});

const others: [string, Overrides, RegExp][] = [
  ["seed", { seed: 8 }, /: seed was 7 in the checkpoint and is 8 in the config/],
  [
    "lr",
    { optimizer: { type: "SGD", params: { lr: 0.06, momentum: 0.9 } } },
    /: optimizer\.params\.lr was 0\.05 in the checkpoint and is 0\.06 /,
  ],
  [
    "batch size",
    { train: { iterations: 10, batchSize: 5 } },
    /: train\.batchSize was 4 in the checkpoint and is 5 /,
  ],
  ["loss", { loss: "mae" }, /: loss was "mse" in the checkpoint and is "mae" /],
  ["shards", { shards: 2 }, /: shards was 1 in the checkpoint and is 2 /],
  [
    "a scheduler",
    { scheduler: { type: "StepLR", params: { step_size: 1 } } },
    /: scheduler was undefined in the checkpoint and is /,
  ],
  [
    "a callback",
    { callbacks: [{ type: "EMA", params: { decay: 0.5 } }] },
    /: callbacks\[0\] was undefined in the checkpoint and is /,
  ],
  [
    "another model",
    { model: { type: normed } },
    /: model\.type was "function .*" in the checkpoint and is "function normed" /,
  ],
];

test("another config under the name of a run is refused in one line with both values, and changes nothing", async () => {
  await withFolder(async (directory) => {
    await trainOnce({ ...config(directory), callbacks: [stopAt(4)] });
    const state = () =>
      readdirSync(join(directory, "run", "checkpoints")).join() + bytes(directory);
    const before = state();
    for (const [title, overrides, message] of others) {
      const run = await IterationRunner.create(config(directory, overrides), {
        output: new Lines(),
      });
      const weights = weightsOf(run);
      await assert.rejects(run.train(), (error: Error) => {
        assert.equal(error.name, "CheckpointError", title);
        assert.match(error.message, message);
        assert.match(
          error.message,
          /; choose another name, checkpoint\.resume "never" to start again, or checkpoint\.allowChanged to go on all the same$/,
        );
        assert.ok(!error.message.includes("\n"));
        return true;
      });
      assert.deepEqual(weightsOf(run), weights, title);
      run.dispose();
      assert.equal(state(), before, title);
    }
  });
});

test("what changes no weight may differ in a resume", async () => {
  await withFolder(async (directory) => {
    const whole = await observe(config(directory, { checkpoint: false }));
    await trainOnce({ ...config(directory), callbacks: [stopAt(4)] });
    const { summary } = await trainOnce(config(directory, {
      log: { interval: 7, progress: true },
      test: { interval: 2, batchSize: 3 },
      earlyStopping: { patience: 50 },
      checkpoint: { directory, interval: 2, keep: 1 },
      callbacks: ["LearningRateMonitor"],
    }));
    assert.equal(summary.weightsSha256, whole.summary.weightsSha256);
  });
});

test("a data set that another program changed is not the same run", async () => {
  const values = (scale: number) =>
    Float32Array.from({ length: 100 }, (_, i) => scale * Math.sin(i));
  const withData = (directory: string, scale: number): RunConfig => ({
    ...config(directory),
    model: { type: "NLinear", params: { inputLength: 6, outputLength: 2, channels: 1 } },
    data: {
      type: "ForecastingArray",
      params: { values: values(scale), channels: 1, inputLength: 6, outputLength: 2 },
    },
  });
  await withFolder(async (directory) => {
    await trainOnce({ ...withData(directory, 1), callbacks: [stopAt(4)] });
    await assert.rejects(trainOnce(withData(directory, 2)), {
      message: /: data\.params\.values was "Float32Array\(100\) [0-9a-f]+" in the checkpoint/,
    });
  });
});

test("the default name is a function of the config: another config, another directory", async () => {
  await withFolder(async (directory) => {
    const named = async (overrides: Overrides) => {
      const { name: _, ...rest } = config(directory, overrides);
      const run = await IterationRunner.create(rest, { output: new Lines() });
      run.dispose();
      return run.settings.name;
    };
    const name = await named({});
    assert.match(name, /^[a-z0-9]+-[a-z0-9]+-[0-9a-f]{8}$/);
    assert.equal(await named({}), name);
    assert.equal(await named({ log: { interval: 9 } }), name);
    const different = [{ seed: 8 }, { train: { iterations: 11, batchSize: 4 } }, {
      shards: 2,
    }];
    const names = await Promise.all(different.map(named));
    assert.equal(new Set([name, ...names]).size, 4);
  });
});

test("fineTune: strict wants all weights, not strict takes what fits; a checkpoint wins over it", async () => {
  await withFolder(async (directory) => {
    const path = join(directory, "weights.safetensors");
    const bias = tf.tidy(() => tf.variable(tf.tensor1d([5, 6])));
    const weight = tf.tidy(() => tf.variable(tf.zeros([3, 2])));
    await saveWeights(path, { weight, bias });
    const still = { optimizer: { type: "SGD", params: { lr: 0 } }, train: { iterations: 2 } };
    const tuned = await observe(
      config(directory, { ...still, checkpoint: false, fineTune: { path } }),
    );
    assert.deepEqual(tuned.weights, [0, 0, 0, 0, 0, 0, 5, 6]);
    assert.ok(tuned.lines.includes(`fine-tuning from ${path}`));

    await saveWeights(path, { bias });
    const start = weightsOf({ model: linear()() } as never);
    await assert.rejects(
      observe(config(directory, { ...still, checkpoint: false, fineTune: { path } })),
      { name: "CheckpointError", message: /weight/ },
    );
    const loose = await observe(
      config(directory, { ...still, checkpoint: false, fineTune: { path, strict: false } }),
    );
    assert.deepEqual(loose.weights, [...start.slice(0, 6), 5, 6]);
    const told = "1 of 2 tensors loaded, 1 missing, 0 mismatched, 0 unexpected";
    assert.ok(loose.lines.includes(`fine-tuning from ${path}: ${told}`));

    // Of other names or shapes, nothing would be loaded.
    const other = join(directory, "other.safetensors");
    const wide = tf.tidy(() => tf.variable(tf.zeros([4, 2])));
    const rows = [
      [{ "model.weight": weight, "model.bias": bias }, "2 missing, 0 mismatched, 2 unexpected"],
      [{ weight: wide }, "1 missing, 1 mismatched, 0 unexpected"],
    ] as const;
    for (const [weights, found] of rows) {
      await saveWeights(other, weights);
      const fineTune = { path: other, strict: false };
      await assert.rejects(observe(config(directory, { ...still, name: "none", fineTune })), {
        name: "CheckpointError",
        message:
          `fineTune.path: ${other} has nothing for the model: 0 of 2 tensors loaded, ${found}`,
      });
      assert.ok(!existsSync(join(directory, "none")));
    }
    wide.dispose();

    // Stopped after 4 of 10 and resumed: the weights trained so far stay.
    const moving = { fineTune: { path, strict: false } };
    const whole = await observe(config(directory, { ...moving, checkpoint: false }));
    await trainOnce({ ...config(directory, moving), callbacks: [stopAt(4)] });
    const { summary } = await trainOnce(config(directory, moving));
    assert.equal(summary.weightsSha256, whole.summary.weightsSha256);
    // In one process too.
    const run = await IterationRunner.create(
      config(directory, { ...moving, checkpoint: false, callbacks: [stopAt(4)] }),
      { output: new Lines() },
    );
    await run.train();
    assert.equal((await run.train()).weightsSha256, whole.summary.weightsSha256);
    run.dispose();
    tf.dispose([bias, weight]);
  });
});

test("checkpoint.allowChanged lets named differences pass, with a line each, and no others", async () => {
  await withFolder(async (directory) => {
    await trainOnce({ ...config(directory), callbacks: [stopAt(4)] });
    const changed = (allowChanged: string[], overrides: Overrides = {}) =>
      config(directory, {
        optimizer: { type: "SGD", params: { lr: 0.01, momentum: 0.8 } },
        checkpoint: { directory, interval: 4, allowChanged },
        ...overrides,
      });
    const refused: [string[], RegExp][] = [
      [["optimizer.params.lr"], /: optimizer\.params\.momentum was 0\.9 /],
      [["optimizer.para"], /: optimizer\.params\.lr was 0\.05 /],
      [["loss", "seed"], /: optimizer\.params\.lr was 0\.05 /],
    ];
    for (const [allowed, message] of refused) {
      await assert.rejects(trainOnce(changed(allowed)), message, allowed.join());
    }
    const { summary, lines } = await trainOnce(changed(["optimizer"]));
    assert.equal(summary.iterations, 10);
    assert.deepEqual(
      lines.filter((line) => line.endsWith(": allowed")).map((line) => line.split(": ")[1]),
      [
        "optimizer.params.lr was 0.05 in the checkpoint and is 0.01 in the config",
        "optimizer.params.momentum was 0.9 in the checkpoint and is 0.8 in the config",
      ],
    );
  });
});

test("checkpoint.allowChanged contents: other data are taken when asked for", async () => {
  await withFolder(async (directory) => {
    const other = { train: regression(24) };
    await trainOnce({ ...config(directory), callbacks: [stopAt(4)] });
    const make = (allowChanged: string[]) => ({
      ...linearConfig({
        name: "run",
        optimizer: { type: "SGD", params: { lr: 0.05, momentum: 0.9 } },
        checkpoint: { directory, interval: 4, allowChanged },
        log: { interval: 3, progress: false, tensorboard: false },
      }, other),
    });
    await assert.rejects(trainOnce(make([])), /: contents\.samples\.train was 20 .* is 24 /);
    const { summary } = await trainOnce(make(["contents"]));
    assert.equal(summary.iterations, 10);
  });
});

test("a change of the numeric mode is said in one line", async () => {
  await withFolder(async (directory) => {
    await trainOnce({ ...config(directory), callbacks: [stopAt(4)] });
    const { lines } = await trainOnce({
      ...config(directory, { backend: "wasm" }),
      callbacks: [stopAt(6)],
    });
    assert.match(
      lines.find((line) => line.includes("last digits")) ?? "",
      /iteration 4: backend was "cpu" and is "wasm": the last digits may differ$/,
    );
    const same = await trainOnce(config(directory, { backend: "wasm" }));
    assert.ok(!same.lines.some((line) => line.includes("last digits")));
  });
});

test("train.nonFinite may change on a resume: the message of an error recommends it", async () => {
  await withFolder(async (directory) => {
    await trainOnce({ ...config(directory), callbacks: [stopAt(4)] });
    const { summary } = await trainOnce(
      config(directory, { train: { iterations: 10, batchSize: 4, nonFinite: "skip" } }),
    );
    assert.equal(summary.iterations, 10);
  });
});

test('an early-stopped run trains on only with resume "continue"', async () => {
  await withFolder(async (directory) => {
    const settings = (patience: number, resume: string) =>
      config(directory, {
        earlyStopping: { patience, min_delta: 100 },
        validation: { interval: 3 },
        checkpoint: { directory, interval: 4, resume },
      });
    assert.equal((await trainOnce(settings(1, "auto"))).summary.iterations, 6);
    assert.equal((await trainOnce(settings(9, "auto"))).summary.iterations, 6);
    const { summary } = await trainOnce(settings(9, "continue"));
    assert.deepEqual([summary.finished, summary.iterations], ["iterations", 10]);
  });
});
