/**
 * Checkpoints of releases, kept for ever: `deno run -A test/durability/release.ts VERSION` adds that of
 * the present tree to test/fixtures/checkpoints.json. Neither the run below nor an entry is changed later.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type Callback, IterationRunner, type RunConfig } from "../../mod.ts";
import "../../src/model/models.ts";
import { weightsSha256 } from "../../src/checkpoint/tensors.ts";
import { root } from "../support/root.ts";
import { Lines, withFolder } from "../support/runs.ts";

/** A release's checkpoint, and what it holds. */
export interface Release {
  readonly version: string;
  readonly format: number;
  readonly iteration: number;
  readonly weightsSha256: string;
  readonly best: { iteration: number; value: number };
  /** Files of the folder `checkpoints`, base64. */
  readonly files: Record<string, string>;
}

/** The fixture. */
export const releasesFile: string = join(root, "test/fixtures/checkpoints.json");

/** The run of which every release has a checkpoint at iteration 7. */
export function releaseConfig(directory: string, callbacks: Callback[] = []): RunConfig {
  const values = Float32Array.from({ length: 160 }, (_, t) => Math.fround((t * 37 % 101) / 50 - 1));
  return {
    name: "run",
    seed: 1,
    backend: "cpu",
    model: {
      type: "Mlp",
      params: { inputLength: 6, outputLength: 2, channels: 1, hidden: [4], dropout: 0.1 },
    },
    data: {
      type: "ForecastingArray",
      params: { values, channels: 1, inputLength: 6, outputLength: 2 },
    },
    loss: "mse",
    metrics: ["mse", "mae"],
    optimizer: { type: "AdamW", params: { lr: 0.01 } },
    scheduler: { type: "StepLR", params: { step_size: 5 } },
    train: { iterations: 10, batchSize: 8 },
    validation: { interval: 3 },
    earlyStopping: { patience: 5 },
    checkpoint: { directory },
    log: { interval: 2, progress: false, tensorboard: false },
    callbacks: [{ type: "EMA", params: { decay: 0.9 } }, ...callbacks],
  };
}

async function make(version: string): Promise<Release> {
  return await withFolder(async (directory) => {
    const stop: Callback = {
      name: "ProgressBar",
      iterationEnd: (run) => run.state.iteration === 7 ? run.stop("signal") : undefined,
    };
    const run = await IterationRunner.create(releaseConfig(directory, [stop]), {
      output: new Lines(),
    });
    const { best, iterations } = await run.train();
    const { parameters, buffers } = run.model;
    const hash = await weightsSha256({ ...parameters, ...buffers });
    run.dispose();
    const folder = join(directory, "run", "checkpoints");
    const names = ["step-00000007.safetensors", "best.safetensors", "latest"];
    const step = readFileSync(join(folder, names[0]), "latin1");
    return {
      version,
      format: Number(/\\"format\\":(\d+)/.exec(step)?.[1]),
      iteration: iterations,
      weightsSha256: hash,
      best: { iteration: best!.iteration, value: best!.value },
      files: Object.fromEntries(
        names.map((name) => [name, readFileSync(join(folder, name)).toString("base64")]),
      ),
    };
  });
}

const [version] = process.argv.slice(2);
if (version !== undefined && /release\.[jt]s$/.test(process.argv[1])) {
  const releases = JSON.parse(readFileSync(releasesFile, "utf8")) as Release[];
  releases.push(await make(version));
  writeFileSync(releasesFile, `${JSON.stringify(releases, null, 1)}\n`);
}
