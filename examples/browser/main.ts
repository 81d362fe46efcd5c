/**
 * Trains a small forecaster in the page, with two workers where the page may have them, and shows
 * the loss as it falls; see examples/README.md.
 *
 * Outside this repository the imports are `from "downhill"` and `from "downhill/models"` (npm).
 */
import { type Callback, IterationRunner, type RunConfig, type Summary } from "../../mod.ts";
import "../../src/model/models.ts";

const ITERATIONS = 200;

/** What of the run a page may choose. */
type Choice = Pick<RunConfig, "backend" | "workers" | "shards">;

/** Trains; `show` gets the loss every 20 iterations. */
export async function train(
  show: (iteration: number, loss: number) => void,
  { backend = "auto", workers = 2, shards = 2 }: Choice = {},
): Promise<Summary> {
  const values = Float32Array.from({ length: 600 }, (_, t) => Math.sin(t / 4) + Math.cos(t / 24));
  const display: Callback = {
    name: "display",
    log: (phase, iteration, { loss }) => {
      if (phase === "train") show(iteration, loss);
    },
  };
  const run = await IterationRunner.create({
    backend,
    workers,
    shards,
    model: { type: "DLinear", params: { inputLength: 48, outputLength: 12, channels: 1 } },
    data: {
      type: "ForecastingArray",
      params: { values, channels: 1, inputLength: 48, outputLength: 12 },
    },
    optimizer: { type: "AdamW", params: { lr: 0.01 } },
    train: { iterations: ITERATIONS, batchSize: 32 },
    log: { interval: 20, progress: false },
    callbacks: [display],
  }, { workerUrl: new URL("./worker.js", import.meta.url) });
  try {
    return await run.train();
  } finally {
    run.dispose();
  }
}

/** Runs in the page: one row of the table for each loss. */
async function main(): Promise<void> {
  const status = document.querySelector("#status")!;
  const progress = document.querySelector<HTMLProgressElement>("#progress")!;
  const table = document.querySelector<HTMLTableElement>("#losses")!;
  const query = new URLSearchParams(location.search);
  const show = (iteration: number, loss: number) => {
    progress.value = iteration / ITERATIONS;
    const row = table.insertRow();
    row.insertCell().textContent = `iteration ${iteration}`;
    row.insertCell().textContent = `loss ${loss.toFixed(5)}`;
  };
  status.textContent = "Training";
  const { backend, workers, test, weightsSha256 } = await train(show, {
    backend: (query.get("backend") ?? "auto") as RunConfig["backend"],
    workers: Number(query.get("workers") ?? 2),
  });
  const threads = workers === 1 ? "in the page" : `with ${workers} workers`;
  status.textContent = `Done on ${backend} ${threads}: test loss ${test?.loss.toPrecision(3)}, ` +
    `weights ${weightsSha256.slice(0, 8)}`;
}

main().catch((error) => document.querySelector("#status")!.textContent = String(error));
