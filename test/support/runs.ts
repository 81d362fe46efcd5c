/** Small runs for tests: a forecasting series, a linear model, everything in memory or in a temporary folder. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { IterationRunner, type RunConfig, type Summary } from "../../mod.ts";
import "../../src/model/models.ts";
import type { Output } from "../../src/report/console.ts";

/** Collects lines. */
export class Lines implements Output {
  readonly lines: string[] = [];
  line(text: string): void {
    this.lines.push(text);
  }
}

/** Two channels of waves with a trend; `missing` cells in a thousand are NaN. */
export function series(rows: number, missing = 0): Float32Array {
  const values = new Float32Array(rows * 2);
  for (let t = 0; t < rows; t++) {
    values[2 * t] = Math.sin(t / 4) + 0.01 * t;
    values[2 * t + 1] = Math.cos(t / 7) - 0.3 * Math.sin(t / 2);
    for (let c = 0; c < 2; c++) {
      if ((t * 7919 + c * 104729) % 1000 < missing) values[2 * t + c] = NaN;
    }
  }
  return values;
}

/** Overrides of {@link smallConfig}: sections are merged one level deep. */
export type Overrides = { [K in keyof RunConfig]?: RunConfig[K] | Record<string, unknown> };

/** A run of 12 -> 4 on {@link series}, 10 iterations of 8 samples on the cpu backend, nothing written. */
export function smallConfig(overrides: Overrides = {}): RunConfig {
  const base: Record<string, unknown> = {
    seed: 7,
    backend: "cpu",
    model: { type: "NLinear", params: { inputLength: 12, outputLength: 4, channels: 2 } },
    data: {
      type: "ForecastingArray",
      params: { values: series(160), channels: 2, inputLength: 12, outputLength: 4 },
    },
    loss: "mse",
    metrics: ["mse", "mae"],
    optimizer: { type: "AdamW", params: { lr: 0.01 } },
    train: { iterations: 10, batchSize: 8 },
    validation: { interval: 5 },
    log: { interval: 2, progress: false },
    checkpoint: false,
  };
  for (const [key, value] of Object.entries(overrides)) {
    const before = base[key];
    const both = isPlain(before) && isPlain(value) && !("type" in value);
    base[key] = both ? { ...before, ...value } : value;
  }
  return base as unknown as RunConfig;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** Creates, trains, and disposes of a run, and answers its summary with what it printed. */
export async function trainOnce(
  config: RunConfig,
  output: Lines = new Lines(),
): Promise<{ summary: Summary; lines: string[] }> {
  const run = await IterationRunner.create(config, { output });
  try {
    return { summary: await run.train(), lines: output.lines };
  } finally {
    run.dispose();
  }
}

/** Calls `work` with a fresh folder and removes it afterwards. */
export async function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "downhill-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
