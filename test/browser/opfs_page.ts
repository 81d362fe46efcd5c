/** Runs in a page and, started again by it, in a worker: the store's contract, and a run that is resumed. */
import {
  type Callback,
  IterationRunner,
  OpfsStore,
  type RunConfig,
  type Store,
} from "../../mod.ts";
import "../../src/model/models.ts";
import { storeContract } from "../support/store_contract.ts";

const scope = globalThis as unknown as {
  document?: unknown;
  done(value: unknown): void;
  postMessage(value: unknown): void;
};

const values = Float32Array.from({ length: 400 }, (_, t) => Math.sin(t / 5) + 0.3 * Math.cos(t));

function config(callbacks: Callback[]): RunConfig {
  return {
    seed: 5,
    backend: "cpu",
    model: { type: "NLinear", params: { inputLength: 12, outputLength: 4, channels: 1 } },
    data: {
      type: "ForecastingArray",
      params: { values, channels: 1, inputLength: 12, outputLength: 4 },
    },
    optimizer: { type: "AdamW", params: { lr: 0.01 } },
    train: { iterations: 20, batchSize: 8 },
    validation: { interval: 5 },
    checkpoint: { interval: 4 },
    log: { interval: 2, progress: false, tensorboard: false },
    callbacks,
  };
}

async function train(store: Store, stopAt = Infinity) {
  const lines: string[] = [];
  const stop: Callback = {
    name: "ProgressBar",
    iterationEnd: (run) => run.state.iteration === stopAt ? run.stop("signal") : undefined,
  };
  const run = await IterationRunner.create(config([stop]), {
    store,
    output: { line: (text) => void lines.push(text) },
  });
  const { finished, iterations, weightsSha256 } = await run.train();
  run.dispose();
  return { finished, iterations, weightsSha256, lines };
}

async function work(folder: string): Promise<unknown> {
  await storeContract(new OpfsStore(`${folder}/contract`));
  const whole = await train(new OpfsStore(`${folder}/whole`));
  const first = await train(new OpfsStore(`${folder}/run`), 7);
  // A new object on the same folder, as after a reload of the page.
  const store = new OpfsStore(`${folder}/run`);
  const lock = await store.lock();
  const refused = await train(store).catch((error) => String(error));
  lock.release();
  const damaged = "checkpoints/step-00000007.safetensors";
  await store.truncate(damaged, 300);
  const second = await train(store);
  const metrics = await Promise.all(
    ["whole", "run"].map(async (name) =>
      new TextDecoder().decode(await new OpfsStore(`${folder}/${name}`).read("metrics.jsonl"))
    ),
  );
  return {
    whole,
    first,
    refused,
    second,
    sameMetrics: metrics[0] === metrics[1] && metrics[0].length > 100,
    files: await store.list("checkpoints"),
  };
}

if (scope.document === undefined) {
  work("in-worker").then(
    scope.postMessage,
    (error) => scope.postMessage({ error: `${error?.stack}` }),
  );
} else {
  const page = await work("in-page");
  const worker = new Worker("/page.js", { type: "module" });
  const inWorker = await new Promise((resolve, reject) => {
    worker.onmessage = (event) => resolve(event.data);
    worker.onerror = (event) => reject(new Error(event.message));
  });
  scope.done({ page, worker: inWorker });
}
