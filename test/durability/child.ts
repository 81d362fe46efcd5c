/**
 * A training process to be killed: everything that has state is on. `child.ts DIRECTORY [SETTINGS]`
 *
 * SETTINGS is JSON: `iterations`, `backend`, `workers`, `stall: [save, call]`: at that file-system call of that save
 * (both counted from 0) it says `stalled` and waits for its end.
 */
import process from "node:process";
import { IterationRunner, type RunConfig } from "../../mod.ts";
import "../../src/model/models.ts";
import { CheckpointDirectory } from "../../src/checkpoint/checkpoint.ts";
import { FileStore } from "../../src/checkpoint/file_store.ts";
import { buildParts } from "../../src/config/build_parts.ts";
import { resolveConfig } from "../../src/config/schema.ts";
import { faulty } from "../support/faulty_files.ts";
import { series } from "../support/runs.ts";

/** What a child may be told. */
export interface ChildSettings {
  readonly iterations?: number;
  readonly backend?: "wasm" | "cpu";
  readonly workers?: number;
  readonly stall?: readonly [save: number, call: number];
}

/** The run: dropout, batch order, schedule, averages, early stopping, curriculum, accumulation, shards. */
export function childConfig(
  directory: string,
  { iterations = 120, backend = "wasm", workers = 1 }: ChildSettings,
): RunConfig {
  return {
    name: "run",
    seed: 11,
    backend,
    deterministic: true,
    workers,
    shards: 2,
    model: {
      type: "Mlp",
      params: { inputLength: 12, outputLength: 4, channels: 2, hidden: [16], dropout: 0.2 },
    },
    data: {
      type: "ForecastingArray",
      params: { values: series(160, 30), channels: 2, inputLength: 12, outputLength: 4 },
    },
    loss: "mse",
    metrics: ["mse", "mae"],
    optimizer: { type: "AdamW", params: { lr: 0.01 }, noDecay: "auto" },
    scheduler: {
      type: "CosineWarmup",
      params: { num_warmup_steps: 10, num_training_steps: iterations },
    },
    train: { iterations, batchSize: 8, accumulate: 2, metrics: true, clipGrad: { maxNorm: 0.5 } },
    validation: { interval: 10 },
    earlyStopping: { patience: 50 },
    checkpoint: { directory, interval: 3, keep: 2 },
    log: { interval: 4, progress: false, tensorboard: false },
    callbacks: [
      { type: "EMA", params: { decay: 0.9 } },
      { type: "Curriculum", params: { prediction_length: 4, interval: 20 } },
    ],
  };
}

/** Trains as told; resolves when the run has ended. */
async function main(directory: string, settings: ChildSettings): Promise<void> {
  const output = { line: (text: string) => console.log(text) };
  const config = childConfig(directory, settings);
  const parts = await buildParts(resolveConfig(config), config, output, {});
  let save = -1, call = 0;
  const operations = faulty((operation, path) => {
    if (settings.stall === undefined || !/checkpoints/.test(path)) return;
    if (operation === "open" && /step-\d+\.safetensors\.tmp-/.test(path)) {
      [save, call] = [save + 1, 0];
    }
    if (save !== settings.stall[0] || call++ !== settings.stall[1]) return;
    console.log("stalled");
    return new Promise<never>(() => setInterval(() => {}, 1000));
  });
  const store = new FileStore(parts.store.location, operations);
  const checkpoints = new CheckpointDirectory(store, "checkpoints", (line) => output.line(line));
  const run = new IterationRunner({ ...parts, store, checkpoints });
  const summary = await run.train();
  console.log(`finished ${summary.finished} ${summary.iterations} ${summary.weightsSha256}`);
  run.dispose();
}

const [directory, settings = "{}"] = process.argv.slice(2);
if (directory !== undefined && /child\.[jt]s$/.test(process.argv[1])) {
  await main(directory, JSON.parse(settings));
}
