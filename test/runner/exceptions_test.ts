/** What an error leaves: a marked checkpoint where the state is whole, a file to look at where it is not. */
import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Callback, loadWeights, type RunConfig, type RunView, tf } from "../../mod.ts";
import { trainOnce, withFolder } from "../support/runs.ts";
import { linearConfig } from "./support.ts";

function config(directory: string, callback: Callback): RunConfig {
  return {
    ...linearConfig({
      name: "run",
      checkpoint: { directory, interval: 4 },
      log: { interval: 3, progress: false, tensorboard: false },
      validation: { interval: 5 },
    }),
    callbacks: [{ ...callback, name: "ProgressBar" }],
  };
}

const failAt = (k: number) => (run: RunView): void => {
  if (run.state.iteration === k) throw new Error("broken\nin two lines");
};

const latest = (directory: string): string =>
  readFileSync(join(directory, "run", "checkpoints", "latest"), "utf8");

test("an error between iterations saves a marked checkpoint, and the run goes on from it", async () => {
  await withFolder(async (directory) => {
    const whole = await trainOnce(config(join(directory, "whole"), { name: "", setup() {} }));
    const failing = config(directory, { name: "", iterationStart: failAt(6) });
    await assert.rejects(trainOnce(failing), /broken/);
    assert.equal(latest(directory), "step-00000006.safetensors");
    assert.ok(!existsSync(join(directory, "run", "checkpoints", "exception.safetensors")));

    const { summary, lines } = await trainOnce(config(directory, { name: "", setup() {} }));
    assert.match(
      lines.find((line) => line.startsWith("resuming")) ?? "",
      /after iteration 6, where it ended with: broken$/,
    );
    assert.equal(summary.weightsSha256, whole.summary.weightsSha256);
    const metrics = (at: string) => readFileSync(join(at, "run", "metrics.jsonl"), "utf8");
    assert.equal(metrics(directory), metrics(join(directory, "whole")));
    const again = await trainOnce(config(directory, { name: "", setup() {} }));
    assert.ok(!again.lines.some((line) => line.includes("broken")));
  });
});

const inside: [string, Callback][] = [
  ["after the update", { name: "", updateEnd: failAt(6) }],
  ["after a validation", { name: "", validationEnd: (_, run) => failAt(5)(run) }],
  ["at the end of an iteration", { name: "", iterationEnd: failAt(6) }],
];

for (const [title, callback] of inside) {
  test(`an error ${title} keeps its state apart; the run goes on from its last checkpoint`, async () => {
    await withFolder(async (directory) => {
      const whole = await trainOnce(config(join(directory, "whole"), { name: "", setup() {} }));
      await assert.rejects(trainOnce(config(directory, callback)), /broken/);
      assert.equal(latest(directory), "step-00000004.safetensors");
      const file = join(directory, "run", "checkpoints", "exception.safetensors");
      const variables = {
        weight: tf.variable(tf.zeros([3, 2])),
        bias: tf.variable(tf.zeros([2])),
      };
      await loadWeights(file, variables);
      assert.ok((await variables.weight.data()).every((value) => value !== 0));
      const { summary, lines } = await trainOnce(config(directory, { name: "", setup() {} }));
      assert.ok(lines.some((line) => /after iteration 4$/.test(line)));
      assert.equal(summary.weightsSha256, whole.summary.weightsSha256);
      assert.deepEqual(
        readdirSync(join(directory, "run")).filter((name) => name.startsWith("lock")),
        [],
      );
    });
  });
}
