/** A run whose best weights are damaged or gone, and one whose folder leads elsewhere. */
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Callback, IterationRunner, type RunConfig } from "../../mod.ts";
import { series } from "../support/runs.ts";
import { Lines, smallConfig, trainOnce, withFolder } from "../support/runs.ts";

/** The best weights are those of iteration 5: the learning rate grows beyond use after it. */
function config(directory: string, callbacks: Callback[] = []): RunConfig {
  return {
    ...smallConfig({
      name: "run",
      optimizer: { type: "SGD", params: { lr: 0.01 } },
      scheduler: { type: "MultiStepLR", params: { milestones: [5], gamma: 300 } },
      checkpoint: { directory, interval: 5 },
      log: { interval: 5, progress: false, tensorboard: false },
    }),
    callbacks,
  };
}

const stopAt = (k: number): Callback => ({
  name: "ProgressBar",
  iterationEnd: (run) => run.state.iteration === k ? run.stop("signal") : undefined,
});

const at = (directory: string, name: string) => join(directory, "run", "checkpoints", name);
const NAMES = ["best.safetensors", "best-copy.safetensors"];

function damage(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 3] ^= 16;
  writeFileSync(path, bytes);
}

/** Test values and a forecast of the run in `directory`, by a process that comes later. */
async function look(directory: string): Promise<{ found: unknown[]; lines: string[] }> {
  const output = new Lines();
  const found: unknown[] = [];
  const tested = await IterationRunner.create(config(directory), { output });
  const predicted = await IterationRunner.create(config(directory), { output, purpose: "predict" });
  try {
    await tested.restore();
    found.push(await tested.test());
    const { prediction } = await predicted.predict({
      inputs: [Array.from({ length: 12 }, (_, t) => [...series(12).subarray(2 * t, 2 * t + 2)])],
    });
    found.push([...prediction.dataSync()]);
    prediction.dispose();
  } finally {
    tested.dispose();
    predicted.dispose();
  }
  return { found, lines: output.lines.filter((line) => /best/.test(line)) };
}

test("a damaged or missing best.safetensors: test and predict take the copy, with a line each", async () => {
  for (const harm of [damage, rmSync]) {
    await withFolder(async (directory) => {
      const { summary } = await trainOnce(config(directory));
      assert.equal(summary.best?.iteration, 5);
      const before = await look(directory);
      assert.deepEqual(before.lines, []);
      assert.deepEqual(before.found[0], summary.test);
      harm(at(directory, NAMES[0]));
      const { found, lines } = await look(directory);
      assert.deepEqual(found, before.found);
      assert.equal(lines.length, 2);
      for (const line of lines) {
        assert.match(line, /^checkpoints\/best\.safetensors[^\n]*: using [^\n]*best-copy/);
      }
    });
  }
});

test("a run whose best.safetensors is damaged while it is stopped ends as one without damage", async () => {
  await withFolder(async (directory) => {
    const whole = await trainOnce(config(join(directory, "whole")));
    const first = await trainOnce(config(directory, [stopAt(6)]));
    assert.equal(first.summary.finished, "signal");
    damage(at(directory, NAMES[0]));
    const { summary, lines } = await trainOnce(config(directory));
    assert.deepEqual(summary.best, whole.summary.best);
    assert.deepEqual(summary.test, whole.summary.test);
    assert.equal(summary.weightsSha256, whole.summary.weightsSha256);
    assert.equal(lines.filter((line) => /best-copy/.test(line)).length, 1);
  });
});

test("best weights of which no file can be read are refused in a line that says what to do", async () => {
  await withFolder(async (directory) => {
    await trainOnce(config(directory));
    for (const name of NAMES) damage(at(directory, name));
    const refusal = {
      name: "CheckpointError",
      message:
        /^the best weights in [^\n]* cannot be read: [^\n]*best\.safetensors: damaged: [^\n]*best-copy\.safetensors: damaged: [^\n]*; put a copy of yours in their place, or remove the files to go on with the newest weights$/,
    };
    const output = new Lines();
    const run = await IterationRunner.create(config(directory), { output });
    await run.restore();
    await assert.rejects(run.test(), refusal);
    await assert.rejects(run.train(), refusal);
    run.dispose();
    await assert.rejects(
      IterationRunner.create(config(directory), { output, purpose: "predict" }),
      refusal,
    );

    // As it says: without the files, the newest weights, and nothing is said of better ones.
    for (const name of NAMES) rmSync(at(directory, name));
    const { summary, lines } = await trainOnce(config(directory));
    assert.equal(summary.best, undefined);
    assert.ok(
      lines.some((line) =>
        /the best weights, of iteration 5, are missing: using those of iteration 10$/.test(line)
      ),
      lines.join("\n"),
    );
    const newest = await IterationRunner.create(config(directory), { output });
    await newest.restore();
    const values = await newest.test();
    newest.dispose();
    assert.deepEqual(summary.test, values);
    const looked = await look(directory);
    assert.deepEqual(looked.found[0], values);
    assert.equal(looked.lines.length, 2);
  });
});

test("a folder of a run that is a link to elsewhere: one line, and nothing is made there", async (t) => {
  await withFolder(async (directory) => {
    const elsewhere = join(directory, "elsewhere");
    mkdirSync(elsewhere);
    mkdirSync(join(directory, "run"));
    const link = join(directory, "run", "checkpoints");
    // Deno's own way wants permission to write everywhere.
    if (spawnSync("ln", ["-s", elsewhere, link]).status !== 0) return t.skip("no links here");
    await assert.rejects(trainOnce(config(directory)), {
      name: "CheckpointError",
      message:
        /^cannot [^\n]*checkpoints is a symbolic link; none is followed inside a run directory$/,
    });
    assert.deepEqual(readdirSync(elsewhere), []);
    assert.deepEqual(readdirSync(join(directory, "run")), ["checkpoints"]);
  });
});
