/** What a run leaves in its directory. */
import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { IterationRunner, type RunConfig, type Summary, tf } from "../../mod.ts";
import { decodeSafetensors } from "../../src/checkpoint/safetensors.ts";
import type { Metric } from "../../src/metric/metric.ts";
import { assertClose } from "../support/close.ts";
import { Lines, type Overrides, series, smallConfig, withFolder } from "../support/runs.ts";

/** Trains in `folder` and answers the files of the run. */
async function trainIn(folder: string, overrides: Overrides = {}) {
  const { checkpoint, ...rest } = overrides;
  const config = smallConfig({
    name: "run",
    ...rest,
    checkpoint: { directory: folder, ...checkpoint as object },
  });
  const run = await IterationRunner.create(config as RunConfig, { output: new Lines() });
  const summary = await run.train();
  const at = join(folder, run.settings.name);
  const text = (name: string): string => readFileSync(join(at, name), "utf8");
  const records = (name: string): Record<string, unknown>[] =>
    text(name).trim().split("\n").map((line) => JSON.parse(line));
  const tensors = (name: string) => decodeSafetensors(readFileSync(join(at, name)), name);
  return { run, summary, at, text, records, tensors };
}

test("the run directory holds every promised file", async () => {
  await withFolder(async (folder) => {
    const { run, summary, at, text, records, tensors } = await trainIn(folder, {
      name: undefined,
      checkpoint: { interval: 5 },
    });
    assert.match(run.settings.name, /^nlinear-forecastingarray-[0-9a-f]{8}$/);
    assert.deepEqual(readdirSync(folder), [run.settings.name]);
    assert.deepEqual(readdirSync(at).sort(), [
      "checkpoints",
      "config.json",
      "metrics.jsonl",
      "summary.json",
      "tensorboard",
      "timings.jsonl",
    ]);
    assert.deepEqual(readdirSync(join(at, "checkpoints")).sort(), [
      "best-copy.safetensors",
      "best.safetensors",
      "latest",
      "step-00000005.safetensors",
      "step-00000010.safetensors",
    ]);
    assert.equal(text("checkpoints/latest"), "step-00000010.safetensors");
    assert.match(readdirSync(join(at, "tensorboard")).join(), /^events\.out\.tfevents\.[^,]+$/);

    const config = JSON.parse(text("config.json"));
    assert.equal(config.name, run.settings.name);
    assert.deepEqual(config.train, {
      iterations: 10,
      batchSize: 8,
      accumulate: 1,
      shuffle: true,
      dropLast: false,
      nonFinite: "stop",
      metrics: false,
      fastDevRun: false,
    });

    const expected = [
      ...[["train", 2], ["train", 4], ["val", 5], ["train", 6], ["train", 8]],
      ...[["train", 10], ["val", 10], ["test", 10]],
    ];
    const rows = records("metrics.jsonl");
    assert.deepEqual(rows.map(({ phase, iteration }) => [phase, iteration]), expected);
    const keys = ["iteration", "phase", "loss", "grad_norm", "lr"];
    for (const row of rows) {
      const evaluation = ["iteration", "phase", "loss", "mse", "mae"];
      assert.deepEqual(Object.keys(row).sort(), (row.phase === "train" ? keys : evaluation).sort());
    }
    const timings = records("timings.jsonl");
    assert.deepEqual(timings.map(({ phase, iteration }) => [phase, iteration]), expected);
    assert.ok(
      timings.every(({ seconds, numTensors }) =>
        (seconds as number) > 0 && Number.isInteger(numTensors)
      ),
    );

    const written: Summary = JSON.parse(text("summary.json"));
    assert.deepEqual(written, JSON.parse(JSON.stringify(summary)));
    const { seconds, samplesPerSecond, best, test, naive, weightsSha256, ...rest } = written;
    assert.deepEqual(rest, {
      finished: "iterations",
      iterations: 10,
      skipped: 0,
      backend: "cpu",
      workers: 1,
      shards: 1,
    });
    assert.ok(seconds > 0 && samplesPerSecond > 0);
    const vals = rows.filter(({ phase }) => phase === "val");
    const least = vals.reduce((a, b) => (b.loss as number) < (a.loss as number) ? b : a);
    assert.deepEqual(best, { iteration: least.iteration, metric: "val/loss", value: least.loss });
    const { iteration: _, phase: __, ...tested } = rows[rows.length - 1];
    assert.deepEqual(test, tested);
    assert.deepEqual(Object.keys(naive?.last ?? {}), ["mse", "mae"]);
    assert.match(weightsSha256, /^[0-9a-f]{64}$/);

    const names = Object.keys(run.model.parameters);
    assert.deepEqual(
      Object.keys(tensors("checkpoints/best.safetensors").tensors).sort(),
      names.sort(),
    );
    const last = tensors("checkpoints/step-00000010.safetensors").tensors;
    for (const name of names) {
      const held = [...run.model.parameters[name].dataSync()];
      assert.deepEqual([...last[`model.${name}`].data], held);
    }
    run.dispose();
  });
});

test("metrics.jsonl is a function of config and data: equal runs write equal bytes", async () => {
  await withFolder(async (folder) => {
    const bytes: string[] = [];
    const rows: Overrides[] = [
      {},
      { checkpoint: { interval: 1, keep: 1 }, log: { tensorboard: false } },
      { seed: 8 },
    ];
    for (const [i, overrides] of rows.entries()) {
      const { run, text } = await trainIn(folder, { ...overrides, name: `run${i}` });
      bytes.push(text("metrics.jsonl"));
      run.dispose();
    }
    assert.equal(bytes[0], bytes[1]);
    assert.notEqual(bytes[0], bytes[2]);
  });
});

test("NaN and infinities are written as strings", async () => {
  await withFolder(async (folder) => {
    const metric = (name: string, value: number): Metric => ({
      name,
      size: 1,
      higherIsBetter: false,
      perHorizon: false,
      update: (prediction) => tf.zeros([prediction.shape[0] ?? 0, 1]),
      finalize: () => value,
    });
    const { run, summary, text, records } = await trainIn(folder, {
      metrics: [metric("none", NaN), metric("high", Infinity), metric("low", -Infinity)],
    });
    assert.ok(Number.isNaN(summary.test?.none));
    for (const values of [JSON.parse(text("summary.json")).test, records("metrics.jsonl").at(-1)]) {
      const { none, high, low } = values as Record<string, unknown>;
      assert.deepEqual([none, high, low], ["NaN", "Infinity", "-Infinity"]);
    }
    run.dispose();
  });
});

test("checkpoints: their cadence, and which of them stay", async () => {
  const rows: [Record<string, unknown>, Overrides, number[]][] = [
    [{}, {}, [5, 10]],
    [{}, { validation: { interval: 2 } }, [6, 8, 10]],
    [{ interval: 3, keep: null }, {}, [3, 6, 9, 10]],
    [{ interval: 2, keep: 2 }, {}, [8, 10]],
    [{ interval: 2, keep: 1, every: 4, at: [2] }, {}, [2, 4, 8, 10]],
    [{}, { callbacks: [{ type: "Checkpoint", params: { interval: 4, keep: null } }] }, [4, 8, 10]],
  ];
  for (const [checkpoint, overrides, steps] of rows) {
    await withFolder(async (folder) => {
      const { run, at, text } = await trainIn(folder, { ...overrides, checkpoint });
      const name = (step: number) => `step-${String(step).padStart(8, "0")}.safetensors`;
      const found = readdirSync(join(at, "checkpoints")).filter((file) => file.startsWith("step-"));
      assert.deepEqual(found.sort(), steps.map(name), JSON.stringify(checkpoint));
      assert.equal(text("checkpoints/latest"), name(10));
      run.dispose();
    });
  }
});

test("nothing is written in a fastDevRun", async () => {
  await withFolder(async (folder) => {
    const { run, at } = await trainIn(folder, { train: { fastDevRun: 2 } });
    assert.ok(!existsSync(at));
    run.dispose();
  });
});

test("predictions.safetensors: all test windows, in original units when rescale", async () => {
  await withFolder(async (folder) => {
    const values = series(160);
    // The last 32 rows are the test part: 29 windows whose targets begin at rows 128 to 156.
    const rows = 29;
    const cut = (first: number, length: number) => {
      const out: number[] = [];
      for (let i = 0; i < rows; i++) {
        out.push(...values.subarray((first + i) * 2, (first + i + length) * 2));
      }
      return out;
    };
    for (const rescale of [false, true]) {
      const { run, summary, tensors } = await trainIn(folder, {
        name: `rescale-${rescale}`,
        rescale,
        test: { savePredictions: true, batchSize: 7 },
      });
      const { inputs, prediction, target } = tensors("predictions.safetensors").tensors as Record<
        string,
        { shape: readonly number[]; data: Float32Array }
      >;
      assert.deepEqual([inputs.shape, prediction.shape, target.shape], [
        [rows, 12, 2],
        [rows, 4, 2],
        [rows, 4, 2],
      ]);
      const { scaler } = run.data;
      const wanted = (numbers: number[]) => {
        const array = Float32Array.from(numbers);
        return rescale ? array : scaler!.transform(array);
      };
      assertClose(inputs.data, wanted(cut(116, 12)), 1e-5, "inputs");
      assertClose(target.data, wanted(cut(128, 4)), 1e-5, "target");
      const error = prediction.data.reduce((sum, p, i) => sum + (p - target.data[i]) ** 2, 0);
      assertClose([error / prediction.data.length], [summary.test!.mse], 1e-5, "mse");
      run.dispose();
    }
  });
});
