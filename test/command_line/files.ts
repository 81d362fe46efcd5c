/** Files for command line tests: a CSV of two waves, and a config that reads it. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { series } from "../support/runs.ts";

/** The header and `rows` rows of `date,a,b`, hourly. */
export function wavesCsv(rows: number): string {
  const values = series(rows);
  const lines = ["date,a,b"];
  for (let t = 0; t < rows; t++) {
    const date = new Date(Date.UTC(2020, 0, 1, t)).toISOString().slice(0, 19).replace("T", " ");
    lines.push(`${date},${values[2 * t]},${values[2 * t + 1]}`);
  }
  return `${lines.join("\n")}\n`;
}

/** The config that `writeFiles` writes. */
export const config = {
  name: "waves",
  seed: 3,
  backend: "cpu",
  model: { type: "NLinear", params: { inputLength: 12, outputLength: 4, channels: 2 } },
  data: {
    type: "ForecastingCsv",
    params: { path: "data/waves.csv", inputLength: 12, outputLength: 4, season: 8 },
  },
  optimizer: { type: "AdamW", params: { lr: 0.01 } },
  train: { iterations: 30, batchSize: 8 },
  validation: { interval: 10 },
  log: { interval: 5 },
};

/** `configs/waves.json`, `configs/data/waves.csv` under `folder`; answers the config's path. */
export function writeFiles(folder: string, more: Record<string, unknown> = {}): string {
  const configs = join(folder, "configs");
  mkdirSync(join(configs, "data"), { recursive: true });
  writeFileSync(join(configs, "data", "waves.csv"), wavesCsv(200));
  const path = join(configs, "waves.json");
  writeFileSync(path, JSON.stringify({ ...config, ...more }));
  return path;
}
