/** Runs of the model `Mortal` with workers. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { IterationRunner, type RunConfig, type Summary } from "../../mod.ts";
import { buildParts } from "../../src/config/build_parts.ts";
import { resolveConfig } from "../../src/config/schema.ts";
import { WorkerEngine } from "../../src/parallel/worker_engine.ts";
import { sourceFile } from "./command_line.ts";
import "./mortal.ts";
import type { Fault, MortalParams } from "./mortal.ts";
import { Lines, series } from "./runs.ts";

/** The module that registers the model. */
export const mortalModule: string = sourceFile("test/support/mortal");

/** What a run may be told. */
export interface MortalOptions {
  readonly faults?: readonly Fault[];
  readonly iterations?: number;
  readonly workers?: number;
  readonly maxWorkerRestarts?: number;
  readonly hidden?: number[];
  /** No callback looks at gradients: updates are queued behind them. Default false. */
  readonly untouched?: boolean;
}

/**
 * Everything that a lost worker could spoil: dropout, buffers, two shards, two leaves each, evaluations,
 * and, unless `untouched`, clipping and a callback that sets weights and buffers.
 */
export function mortalConfig(
  folder: string,
  {
    faults = [],
    iterations = 12,
    workers = 2,
    maxWorkerRestarts = 100,
    hidden,
    untouched = false,
  }: MortalOptions,
): RunConfig {
  const marks = join(folder, "marks");
  mkdirSync(marks, { recursive: true });
  const params: MortalParams = { faults, folder: marks, hidden };
  return {
    name: "run",
    seed: 3,
    backend: "wasm",
    workers,
    shards: 2,
    maxWorkerRestarts,
    model: { type: "Mortal", params: JSON.parse(JSON.stringify(params)) },
    data: {
      type: "ForecastingArray",
      params: { values: [...series(160)], channels: 2, inputLength: 12, outputLength: 4 },
    },
    loss: "mse",
    metrics: ["mse", "mae"],
    optimizer: { type: "AdamW", params: { lr: 0.01 } },
    train: {
      iterations,
      batchSize: 8,
      accumulate: 2,
      metrics: true,
      clipGrad: untouched ? undefined : { maxNorm: 0.5 },
    },
    validation: { interval: 4 },
    callbacks: untouched ? [] : [{ type: "Meddles" }],
    checkpoint: { directory: folder, interval: 5 },
    log: { interval: 3, progress: false, tensorboard: false },
  };
}

/** A run that has ended, by its end or by an error. */
export interface MortalRun {
  readonly summary?: Summary;
  readonly error?: Error;
  readonly lines: readonly string[];
  /** The bytes of metrics.jsonl. */
  readonly metrics: string;
  /** As timings.jsonl counts them. */
  readonly restarts: number | undefined;
}

/** The run, and its engine if it has workers. */
export async function createMortal(
  config: RunConfig,
): Promise<{ run: IterationRunner; engine?: WorkerEngine; lines: string[] }> {
  const output = new Lines();
  const imports = [pathToFileURL(mortalModule).href];
  const parts = await buildParts(resolveConfig(config), config, output, { imports });
  const engine = parts.engine instanceof WorkerEngine ? parts.engine : undefined;
  return { run: new IterationRunner(parts), engine, lines: output.lines };
}

/** Trains, and disposes of the run. */
export async function trainMortal(
  folder: string,
  options: MortalOptions,
  setUp: (engine: WorkerEngine) => void = () => {},
): Promise<MortalRun> {
  const { run, engine, lines } = await createMortal(mortalConfig(folder, options));
  if (engine !== undefined) setUp(engine);
  try {
    const ended = await run.train().then((summary) => ({ summary }), (error) => ({ error }));
    const read = (name: string): string => {
      const file = join(folder, "run", name);
      return existsSync(file) ? readFileSync(file, "utf8").trim() : "";
    };
    const last = read("timings.jsonl").split("\n").at(-1) || "{}";
    const { restarts } = JSON.parse(last);
    return { ...ended, lines, metrics: read("metrics.jsonl"), restarts };
  } finally {
    run.dispose();
  }
}
