/**
 * Trains a small forecaster in the page and shows the loss as it falls; see examples/README.md.
 *
 * Outside this repository the imports are `from "downhill"` and `from "downhill/models"` (npm).
 */
import {
  type Callback,
  IterationRunner,
  type RunConfig,
  selectBackend,
  type Summary,
} from "../../mod.ts";
import "../../src/model/models.ts";

/** Trains on `backend`; `wasmPath` is the folder that serves tfjs' .wasm files. */
export async function train(
  show: (iteration: number, loss: number) => void,
  backend: RunConfig["backend"] = "auto",
  wasmPath?: string,
): Promise<Summary> {
  await selectBackend(backend, { wasmPath });
  const values = Float32Array.from({ length: 600 }, (_, t) => Math.sin(t / 4) + Math.cos(t / 24));
  const display: Callback = {
    name: "display",
    log: (phase, iteration, { loss }) => {
      if (phase === "train") show(iteration, loss);
    },
  };
  const run = await IterationRunner.create({
    backend,
    model: { type: "DLinear", params: { inputLength: 48, outputLength: 12, channels: 1 } },
    data: {
      type: "ForecastingArray",
      params: { values, channels: 1, inputLength: 48, outputLength: 12 },
    },
    optimizer: { type: "AdamW", params: { lr: 0.01 } },
    train: { iterations: 200, batchSize: 32 },
    log: { interval: 20, progress: false },
    callbacks: [display],
  });
  try {
    return await run.train();
  } finally {
    run.dispose();
  }
}

/** Runs in the page: one row of the table for each log line. */
async function main(): Promise<void> {
  const status = document.querySelector("#status")!;
  const table = document.querySelector<HTMLTableElement>("#losses")!;
  const parameters = new URLSearchParams(location.search);
  const backend = (parameters.get("backend") ?? "auto") as RunConfig["backend"];
  const summary = await train(
    (iteration, loss) => {
      const row = table.insertRow();
      row.insertCell().textContent = `iteration ${iteration}`;
      row.insertCell().textContent = `loss ${loss.toFixed(5)}`;
    },
    backend,
    parameters.get("wasm") ?? undefined,
  );
  status.textContent = `Done on ${summary.backend}: test loss ${summary.test?.loss.toFixed(5)}`;
}

await main();
