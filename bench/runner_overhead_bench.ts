/**
 * What the runner costs: an iteration of IterationRunner against the same iteration written out,
 * which gathers the same batch, takes value and gradients, the gradient norm, checks finiteness,
 * reads the loss and applies the same optimizer. A tiny model, so that the difference shows.
 *
 * The lines above the groups are the figures that count: medians over rounds that take turns, the
 * overhead the median of the differences within a round.
 */
import {
  ArrayDataset,
  buildOptimizer,
  type Callback,
  DataLoader,
  IterationRunner,
  randomStream,
  type RunConfig,
  selectBackend,
  tf,
} from "../mod.ts";
import { Mlp } from "../src/model/models.ts";
import { squaredNorm } from "../src/optim/clip.ts";
import { alternate, median } from "./alternate.ts";

const ITERATIONS = 100;
const ROUNDS = 80;
const LIMIT_US = 60;
const BATCH = 16;
const MODEL = { inputSize: 8, hidden: [8], outputSize: 4 };
const OPTIMIZER = { type: "SGD", params: { lr: 0.01 } };

const fields = {
  inputs: { data: randomStream(1).normal(new Float32Array(512 * 8)), shape: [512, 8] },
  targets: { data: randomStream(2).normal(new Float32Array(512 * 4)), shape: [512, 4] },
};

/** Milliseconds of {@link ITERATIONS} iterations written out. */
async function bareLoop(): Promise<number> {
  const model = new Mlp(MODEL, { random: randomStream(42, "init") });
  const optimizer = buildOptimizer(OPTIMIZER, model.parameters);
  const loader = new DataLoader(new ArrayDataset(fields), {
    batchSize: BATCH,
    shuffle: true,
    infinite: true,
    seed: 42,
  });
  const names = Object.keys(model.parameters);
  const variables = Object.values(model.parameters);
  const context = { training: true, random: randomStream(42) };
  const begin = performance.now();
  for (let k = 0; k < ITERATIONS; k++) {
    const batch = await loader.load(k);
    const inputs = tf.tensor(batch.inputs.data, [...batch.inputs.shape]);
    const targets = tf.tensor(batch.targets.data, [...batch.targets.shape]);
    const { value, grads } = tf.variableGrads(
      () => tf.mean(tf.square(tf.sub(model.forward({ inputs }, context), targets))) as tf.Scalar,
      variables,
    );
    const squares = squaredNorm(Object.values(grads));
    const [[loss], [square]] = await Promise.all([value.data(), squares.data()]);
    if (!Number.isFinite(loss) || !Number.isFinite(Math.sqrt(square))) throw new Error("diverged");
    optimizer.applyGradients(
      Object.fromEntries(names.map((name, i) => [name, grads[variables[i].name]])),
    );
    tf.dispose([inputs, targets, value, squares, ...Object.values(grads)]);
  }
  const ms = performance.now() - begin;
  optimizer.dispose();
  model.dispose();
  return ms;
}

/** Milliseconds of {@link ITERATIONS} iterations of a run. */
async function runnerLoop(backend: RunConfig["backend"]): Promise<number> {
  let begin = 0, ms = 0;
  const watch: Callback = {
    name: "watch",
    trainStart: () => void (begin = performance.now()),
    trainEnd: () => void (ms = performance.now() - begin),
  };
  const run = await IterationRunner.create({
    backend,
    model: { type: "Mlp", params: MODEL },
    data: { type: "ArrayDataset", params: { train: fields } },
    optimizer: OPTIMIZER,
    train: { iterations: ITERATIONS, batchSize: BATCH },
    validation: false,
    test: false,
    checkpoint: false,
    log: { interval: 50, progress: false },
    callbacks: [watch],
  });
  await run.train();
  run.dispose();
  return ms;
}

for (const backend of ["wasm", "cpu"] as const) {
  await selectBackend(backend);
  const { bare, runner } = await alternate(
    { bare: bareLoop, runner: () => runnerLoop(backend) },
    ROUNDS,
  );
  const us = (ms: number): string => (ms / ITERATIONS * 1000).toFixed(1);
  const overhead = us(median(runner.map((ms, i) => ms - bare[i])));
  const least = us(Math.min(...runner) - Math.min(...bare));
  console.log(
    `${backend.padEnd(5)} bare loop ${us(median(bare))} us, IterationRunner ` +
      `${us(median(runner))} us: overhead ${overhead} us an iteration ` +
      `(between the fastest rounds ${least}), ` +
      `${Number(overhead) < LIMIT_US ? "under" : "OVER"} the limit of ${LIMIT_US}`,
  );
}

for (const backend of ["wasm", "cpu"] as const) {
  const group = `${ITERATIONS} iterations on ${backend}`;
  Deno.bench({ name: "bare loop", group, baseline: true, n: 10, warmup: 2 }, async () => {
    await selectBackend(backend);
    await bareLoop();
  });
  Deno.bench({ name: "IterationRunner", group, n: 10, warmup: 2 }, async () => {
    await runnerLoop(backend);
  });
}
