/** Runs that are made once in process and again with workers, and must not differ by a bit. */
import { strict as assert } from "node:assert";
import { type CreateOptions, IterationRunner, type RunConfig, type Summary } from "../../mod.ts";
import { CheckpointDirectory, type CheckpointState } from "../../src/checkpoint/checkpoint.ts";
import { MemoryStore } from "../../src/checkpoint/memory_store.ts";
import { runtime } from "../../src/core/host.ts";
import { Lines, type Overrides, series, smallConfig } from "../support/runs.ts";
import { regression } from "../runner/support.ts";
import "./components.ts";

/** What the workers import. */
export const imports: readonly string[] = [new URL("./components.ts", import.meta.url).href];

/** Of what every runtime computes in the same way, given that its workers share memory: see exact_test.ts. */
export const once: { skip: string | false } = {
  skip: runtime !== "deno" && "runs under Deno only",
};

/** What a run leaves: its summary, the digits of its reports, its checkpoints, what it printed. */
export interface Left {
  readonly summary: Summary;
  readonly metrics: string;
  readonly checkpoints: Record<string, Uint8Array>;
  readonly lines: readonly string[];
  readonly store: MemoryStore;
}

/** Creates, trains, and disposes of a run whose files are in memory. */
export async function runOf(
  config: RunConfig,
  { store = new MemoryStore(), ...options }: CreateOptions & { store?: MemoryStore } = {},
  look: (run: IterationRunner) => unknown = () => {},
): Promise<Left> {
  const output = new Lines();
  const run = await IterationRunner.create(config, { imports, store, output, ...options });
  try {
    const summary = await run.train();
    await look(run);
    // What another team would mend must not have gone wrong; a slow machine may.
    const replaced = output.lines.filter((line) => line.includes("replacing the workers"));
    assert.deepEqual(replaced.filter((line) => !line.includes("no sign of life")), []);
    return { summary, ...await filesOf(store), lines: output.lines, store };
  } finally {
    run.dispose();
  }
}

async function filesOf(store: MemoryStore): Promise<Pick<Left, "metrics" | "checkpoints">> {
  const checkpoints: Record<string, Uint8Array> = {};
  for (const name of await store.list("checkpoints")) {
    checkpoints[name] = (await store.read(`checkpoints/${name}`))!;
  }
  const metrics = new TextDecoder().decode(await store.read("metrics.jsonl"));
  return { metrics, checkpoints };
}

/** What a checkpoint has of weights, buffers, the optimizer's state and its options; counters and records are of its moment. */
export async function trained(store: MemoryStore, iteration: number): Promise<unknown> {
  const { tensors, meta }: CheckpointState = await new CheckpointDirectory(store).load(iteration);
  const values = Object.entries(tensors).filter(([name]) => !name.startsWith("callback."));
  return { tensors: values.map(([name, { data }]) => [name, [...data]]), of: meta.optimizer };
}

/** Asserts that two runs have left the same bytes. */
export function assertSame(left: Left, right: Left, what: string): void {
  assert.equal(left.metrics, right.metrics, `${what}: metrics.jsonl`);
  const { weightsSha256, test, best, iterations, skipped } = left.summary;
  assert.deepEqual(
    { weightsSha256, test, best, iterations, skipped },
    {
      weightsSha256: right.summary.weightsSha256,
      test: right.summary.test,
      best: right.summary.best,
      iterations: right.summary.iterations,
      skipped: right.summary.skipped,
    },
    `${what}: summary`,
  );
  assert.deepEqual(Object.keys(left.checkpoints), Object.keys(right.checkpoints), what);
  for (const [name, bytes] of Object.entries(left.checkpoints)) {
    assert.ok(equalBytes(bytes, right.checkpoints[name]), `${what}: ${name}`);
  }
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Files under these settings: reports and checkpoints, no bars. */
export const filed: Overrides = {
  name: "run",
  log: { interval: 1, progress: false, tensorboard: false },
  checkpoint: { interval: 2 },
};

/** A run of the model of `components.ts` on 20 training, 9 validation and 7 test rows. */
export function partsConfig(overrides: Overrides = {}): RunConfig {
  const data = {
    train: regression(20, { missing: 4 }),
    validation: regression(9, { from: 100 }),
    test: regression(7, { from: 200 }),
  };
  return smallConfig({
    ...filed,
    backend: "wasm",
    shards: 4,
    model: { type: "TestParts" },
    data: { type: () => data },
    optimizer: { type: "SGD", params: { lr: 0.05 } },
    train: { iterations: 4, batchSize: 5, accumulate: 2 },
    validation: { interval: 2 },
    ...overrides,
  });
}

/** Two leaves a batch of a linear model. */
export const linear = (
  workers: number,
  params: Record<string, unknown>,
  { train, ...overrides }: Overrides,
): RunConfig =>
  partsConfig({
    workers,
    shards: 2,
    model: { type: "TestLinear", params },
    data: { type: () => ({ train: regression(20), validation: regression(9, { from: 100 }) }) },
    train: { iterations: 6, batchSize: 5, shuffle: false, ...train as Overrides },
    validation: { interval: 50 },
    checkpoint: { interval: 1, keep: 10 },
    ...overrides,
  });

/** Asserts that one worker and two leave the same bytes. */
export async function assertEqual(
  params: Record<string, unknown>,
  overrides: () => Overrides,
): Promise<void> {
  const [one, two] = [linear(1, params, overrides()), linear(2, params, overrides())];
  assertSame(await runOf(one), await runOf(two), "2 workers");
}

/** A masked forecast with batch statistics, dropout, clipping and accumulation, validated meanwhile. */
export function forecast(workers: number, params: Record<string, unknown> = {}): RunConfig {
  return smallConfig({
    ...filed,
    backend: "wasm",
    shards: 4,
    workers,
    model: {
      type: "PatchTST",
      params: {
        inputLength: 24,
        outputLength: 4,
        channels: 2,
        patchLength: 8,
        stride: 4,
        width: 8,
        heads: 2,
        feedForward: 16,
        layers: 2,
        norm: "batch",
        dropout: 0.3,
        ...params,
      },
    },
    data: {
      type: "ForecastingArray",
      params: { values: series(160, 80), channels: 2, inputLength: 24, outputLength: 4 },
    },
    train: { iterations: 6, batchSize: 8, accumulate: 2, clipGrad: { maxNorm: 0.5 } },
    validation: { interval: 2 },
  });
}
