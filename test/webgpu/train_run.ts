/**
 * A script: the same run on wasm and on webgpu, through validation, best weights, checkpoints, a
 * stop with a resume, test and predict; prints what both gave and what it cost as one JSON line.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Callback, IterationRunner, type Summary, tf } from "../../mod.ts";
import { disposeBackend, selectBackend } from "../../src/backend/select.ts";
import { Lines, series, smallConfig, withFolder } from "../support/runs.ts";
import { countDispatches, useWebgpu } from "../support/webgpu.ts";

/** What the script prints. */
export interface TrainedRun {
  /** Why there is no WebGPU; then nothing else is there. */
  readonly skipped?: string;
  readonly wasm: RunResult;
  readonly webgpu: RunResult;
  /** On webgpu, stopped after iteration 7 and taken up again. */
  readonly resumed: RunResult;
}

/** One run. */
export interface RunResult {
  readonly summary: Summary;
  /** `metrics.jsonl` as it is. */
  readonly metrics: string;
  readonly prediction: number[];
  /** Compute dispatches of each iteration's gradient and update. */
  readonly dispatches: number[];
  /** Asynchronous reads of each of them. */
  readonly reads: number[];
  /** Synchronous reads in the whole run. */
  readonly syncReads: number;
  /** Tensors that the run left behind. */
  readonly leaked: number;
}

const STOP_AT = 7;

/** Calls of the current backend's two ways to read. */
const reads = { async: 0, sync: 0 };

function countReads(): void {
  const backend = tf.backend();
  const { read, readSync } = backend;
  backend.read = (id) => (reads.async++, read.call(backend, id));
  backend.readSync = (id) => (reads.sync++, readSync.call(backend, id));
}

/** Trains in a fresh folder; with `stop`, in two runs of which the second resumes the first. */
function train(
  backend: "wasm" | "webgpu",
  dispatched: { readonly count: number },
  stop = false,
): Promise<RunResult> {
  const before = { dispatches: 0, reads: 0 };
  const dispatches: number[] = [];
  const readsOf: number[] = [];
  const watch: Callback = {
    name: "watch",
    iterationStart() {
      before.dispatches = dispatched.count;
      before.reads = reads.async;
    },
    updateEnd() {
      dispatches.push(dispatched.count - before.dispatches);
      readsOf.push(reads.async - before.reads);
    },
  };
  const stopper: Callback = {
    name: "stopper",
    iterationEnd: (run) => {
      if (stop && run.state.iteration === STOP_AT && dispatches.length === STOP_AT) {
        run.stop("signal");
      }
    },
  };
  return withFolder(async (folder) => {
    const start = () =>
      IterationRunner.create(
        smallConfig({
          name: "run",
          backend,
          // Missing cells, so that the item count is on the device too.
          data: {
            type: "ForecastingArray",
            params: { values: series(160, 20), channels: 2, inputLength: 12, outputLength: 4 },
          },
          model: {
            type: "Mlp",
            params: { inputLength: 12, outputLength: 4, channels: 2, hidden: [16], dropout: 0.1 },
          },
          scheduler: { type: "StepLR", params: { step_size: 4, gamma: 0.5 } },
          train: { iterations: 10, batchSize: 8, clipGrad: { maxNorm: 0.5 }, metrics: true },
          validation: { interval: 4 },
          log: { interval: 1, progress: false, tensorboard: false },
          checkpoint: { directory: folder, interval: 3 },
          callbacks: [watch, stopper],
        }),
        { output: new Lines() },
      );
    const tensors = tf.memory().numTensors;
    const syncBefore = reads.sync;
    let run = await start();
    let summary = await run.train();
    if (stop) {
      run.dispose();
      run = await start();
      summary = await run.train();
    }
    const { prediction } = await run.predict({ inputs: [window()] });
    const answer = [...await prediction.data()];
    prediction.dispose();
    run.dispose();
    return {
      summary,
      metrics: readFileSync(join(folder, "run", "metrics.jsonl"), "utf8"),
      prediction: answer,
      dispatches,
      reads: readsOf,
      syncReads: reads.sync - syncBefore,
      leaked: tf.memory().numTensors - tensors,
    };
  });
}

/** Twelve rows of two channels. */
function window(): number[][] {
  const values = series(12);
  return Array.from({ length: 12 }, (_, t) => [values[2 * t], values[2 * t + 1]]);
}

async function main(): Promise<TrainedRun | Pick<TrainedRun, "skipped">> {
  await selectBackend("wasm");
  const wasm = await train("wasm", { count: 0 });
  const skipped = await useWebgpu();
  if (skipped !== undefined) return { skipped };
  countReads();
  const dispatched = countDispatches();
  const webgpu = await train("webgpu", dispatched);
  const resumed = await train("webgpu", dispatched, true);
  disposeBackend();
  return { wasm, webgpu, resumed };
}

console.log(JSON.stringify(await main()));
