/** Tensors: as many after many iterations as after a few, here and in every worker. */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Callback, tf } from "../../mod.ts";
import { useBackend } from "../support/backend.ts";
import { withFolder } from "../support/runs.ts";
import { forecast, runOf } from "./support.ts";

test("tensors stay as many over iterations with workers, evaluations and checkpoints", async () => {
  await useBackend("wasm");
  await withFolder(async (folder) => {
    const file = join(folder, "tensors.txt");
    const here: number[] = [];
    const count: Callback = {
      name: "Count",
      iterationEnd: () => void here.push(tf.memory().numTensors),
    };
    const config = forecast(2);
    const before = tf.memory().numTensors;
    await runOf({
      ...config,
      shards: 2,
      train: { iterations: 24, batchSize: 4, accumulate: 2, clipGrad: { clipValue: 0.1 } },
      // Some parameters by elements, others as wholes.
      optimizer: { type: "Muon", params: { lr: 0.01, aux: { lr: 0.01 } } },
      callbacks: [
        { type: "EMA", params: { decay: 0.5 } },
        { type: "TensorLog", params: { file } },
        count,
      ],
    });
    // After a first evaluation and checkpoint.
    assert.deepEqual(new Set(here.slice(4)), new Set([here[4]]));
    assert.ok(tf.memory().numTensors <= before + 2, `${before}, ${tf.memory().numTensors}`);

    const threads = new Map<string, Set<number>>();
    let rows = 0;
    for (const line of readFileSync(file, "utf8").trim().split("\n")) {
      const [thread, iteration, tensors] = line.split(" ");
      rows++;
      if (Number(iteration) < 5) continue;
      if (!threads.has(thread)) threads.set(thread, new Set());
      threads.get(thread)!.add(Number(tensors));
    }
    assert.ok(rows > 80, `${rows} leaves`);
    for (const counts of threads.values()) assert.ok(counts.size <= 2, [...counts].join());
  });
});
