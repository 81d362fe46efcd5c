/**
 * A program that trains with workers of the package as installed, and without.
 *
 * Bundled, as app.js, it names the bundle of the workers beside it.
 */
import { IterationRunner } from "downhill";
import "downhill/models";

const isBundled = import.meta.url.endsWith("/app.js");
const workerUrl = isBundled ? new URL("./worker.js", import.meta.url) : undefined;
const lengths = { inputLength: 12, outputLength: 4 };
const values = Array.from({ length: 240 }, (_, i) => Math.sin(i / 7) + (i % 2));

async function train(workers) {
  const runner = await IterationRunner.create({
    name: `workers${workers}`,
    workers,
    shards: 2,
    backend: "wasm",
    model: { type: "NLinear", params: { ...lengths, channels: 2 } },
    data: { type: "ForecastingArray", params: { ...lengths, values, channels: 2 } },
    optimizer: { type: "AdamW", params: { lr: 1e-2 } },
    train: { iterations: 5, batchSize: 8, clipGrad: { maxNorm: 0.1 } },
    validation: { interval: 5 },
  }, { workerUrl });
  try {
    const { workers, iterations, weightsSha256, backend } = await runner.train();
    return { workers, iterations, weightsSha256, backend };
  } finally {
    runner.dispose();
  }
}

globalThis.workersResult = [await train(1), await train(2)];
console.log(JSON.stringify(globalThis.workersResult));
