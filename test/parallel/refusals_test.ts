/** What cannot reach a worker, and how many workers there are, in a line each. */
import { strict as assert } from "node:assert";
import { availableParallelism } from "node:os";
import { test } from "node:test";
import {
  buildOptimizer,
  Curriculum,
  IterationRunner,
  type Model,
  Optimizer,
  registerModel,
  registerOptimizer,
  type RunConfig,
  type RunView,
  tf,
} from "../../mod.ts";
import { singleGroup } from "../../src/optim/builder.ts";
import { sgd } from "../../src/optim/sgd.ts";
import { useBackend } from "../support/backend.ts";
import { Lines, type Overrides } from "../support/runs.ts";
import { imports, linear, partsConfig, runOf } from "./support.ts";

/** Registered here alone: the workers do not import this file. */
registerModel("Unlisted", () => model());
registerOptimizer("SelfMade", SelfMade());

function model(): Model {
  const weight = tf.variable(tf.zeros([3, 2]));
  return {
    parameters: { weight },
    forward: ({ inputs }) => tf.matMul(inputs as tf.Tensor2D, weight as tf.Tensor2D),
  };
}

/** An optimizer of a program that makes its updates in its own way. */
function SelfMade() {
  return class extends Optimizer {
    constructor(params: Record<string, unknown>, parameters?: Record<string, tf.Variable>) {
      super(singleGroup(sgd, params), parameters);
    }
    override applyGradients(gradients: never): void {
      super.applyGradients(gradients);
    }
  };
}

function adam(params: Record<string, unknown>, parameters?: Record<string, tf.Variable>) {
  return buildOptimizer({ type: "Adam", params }, parameters);
}

/** What cannot reach a worker. */
const code = (what: string, received: string) =>
  `${what} cannot reach a worker, received ${received}; register it under a name in a module that ` +
  "imports lists";

const rows: [what: string, overrides: Overrides, message: string][] = [
  [
    "a class for a model",
    { model: { type: model } },
    `model.type: ${code("a function or class", "function model")}`,
  ],
  [
    "a function in the params of a model",
    { model: { type: "TestParts", params: { init: () => 0 } } },
    `model.params.init: ${code("a function or class", "function init")}`,
  ],
  [
    "an object of a class in the params of a model",
    { model: { type: "TestParts", params: { deep: [{ since: new Date(0) }] } } },
    `model.params.deep[0].since: ${code("an object of a class", '"1970-01-01T00:00:00.000Z"')}`,
  ],
  [
    "a loss that is a function",
    { loss: () => (prediction: tf.Tensor) => ({ sum: tf.sum(prediction), count: 1 }) },
    `loss: ${code("a function or class", "function loss")}`,
  ],
  [
    "an optimizer that is a function",
    { optimizer: { type: adam as never, params: { lr: 0.1 } } },
    `optimizer.type: ${code("a function or class", "function adam")}`,
  ],
  [
    "a callback with a hook in the forward pass that is an object",
    { callbacks: ["EMA", new Curriculum({ prediction_length: 2, interval: 1 })] },
    `callbacks[1]: ${code("an object of a class", "a Curriculum")}`,
  ],
  [
    "a callback with a hook in the forward pass that has closures",
    { callbacks: [{ name: "Mine", loss: (value: unknown) => value }] },
    `callbacks[0].loss: ${code("a function or class", "function loss")}`,
  ],
  [
    "an optimizer that makes its updates itself",
    { optimizer: { type: "SelfMade", params: { lr: 0.1 } } },
    "workers: must be 1 for SelfMade, which makes its updates itself: workers make those of rules, received 2",
  ],
  ["no workers", { workers: 0 }, 'workers: must be an integer from 1 to 256 or "auto", received 0'],
  [
    "part of a worker",
    { workers: 1.5 },
    'workers: must be an integer from 1 to 256 or "auto", received 1.5',
  ],
  [
    "a word",
    { workers: "x" as never },
    'workers: must be an integer from 1 to 256 or "auto", received "x"',
  ],
];

async function create(overrides: Overrides): Promise<IterationRunner> {
  const config: RunConfig = partsConfig({ workers: 2, checkpoint: false, name: undefined });
  return await IterationRunner.create({ ...config, ...overrides } as RunConfig, {
    imports,
    output: new Lines(),
  });
}

await useBackend("wasm");
for (const [what, overrides, message] of rows) {
  test(`a run with workers refuses ${what}`, async () => {
    const tensors = tf.memory().numTensors;
    await assert.rejects(create(overrides), { name: "ConfigError", message });
    // The model that the function above makes is not disposed by those who refuse it.
    assert.ok(tf.memory().numTensors <= tensors + 1);
  });
}

test("a run whose model no module of imports registers says so", async () => {
  const run = await create({ model: { type: "Unlisted" } });
  await assert.rejects(run.train(), {
    name: "ConfigError",
    message:
      /^workers: a worker cannot build what this thread has built: model\.type: unknown model "Unlisted".* \(what a program registers must be in a module that imports lists\)$/,
  });
  run.dispose();
});

const assignments = [
  ["training", 'must assign buffers only in its forward pass, and assigned "bias"'],
  [
    "evaluation",
    'must assign nothing outside of training in its forward pass, and assigned "bias"',
  ],
] as const;

for (const [assigns, rule] of assignments) {
  for (const workers of [1, 2]) {
    test(`a forward pass that assigns a parameter in ${assigns} is refused, workers ${workers}`, async () => {
      await assert.rejects(
        runOf(linear(workers, { assigns }, { validation: { interval: 3 }, checkpoint: false })),
        { name: "ConfigError", message: `model: ${rule}`, path: "model" },
      );
    });
  }
}

for (const workers of [1, 2]) {
  test(`what a forward pass must not assign stays as it was, workers ${workers}`, async () => {
    const bias = (run: RunView) => run.model.parameters.bias.dataSync();
    const created = async (assigns: string | undefined, iterations: number) =>
      await IterationRunner.create(
        linear(workers, { assigns }, { train: { iterations, batchSize: 5 }, checkpoint: false }),
        { imports, output: new Lines() },
      );
    const run = await created("training", 6);
    await assert.rejects(run.train(), { path: "model" });
    const whole = await created(undefined, run.state.iteration);
    await whole.train();
    assert.deepEqual(bias(run), bias(whole));

    const evaluated = await created("evaluation", 6);
    const before = bias(evaluated);
    // From the third leaf on.
    evaluated.model.buffers!.leaves.assign(tf.scalar(2));
    await assert.rejects(evaluated.validate(), { path: "model" });
    assert.deepEqual(bias(evaluated), before);
    for (const each of [run, whole, evaluated]) each.dispose();
  });
}

test("a model that assigns a parameter in its first forward pass is refused when it is created", async () => {
  const still = tf.variable(tf.zeros([2]), false);
  const type = (): Model => ({
    parameters: { ...model().parameters, still },
    forward({ inputs }) {
      still.assign(tf.ones([2]));
      return tf.add(tf.sum(inputs, 1, true), still);
    },
  });
  await assert.rejects(create({ workers: 1, model: { type } }), {
    name: "ConfigError",
    message: 'model: must assign buffers only in its forward pass, and assigned "still"',
  });
});

test("what keeps a callback from being built is told with its index, as in process", async () => {
  // Worker threads have a `threadId` of their own.
  const run = await create({
    callbacks: ["LearningRateMonitor", "EMA", { type: "OnlyHere", params: {} }],
  });
  await assert.rejects(run.train(), {
    name: "ConfigError",
    message:
      "workers: a worker cannot build what this thread has built: callbacks[2].params: must not be in a worker",
  });
  run.dispose();
});

test("a parameter may be called as a method of objects is", async () => {
  const type = (): Model => {
    const weight = tf.variable(tf.zeros([3, 2]));
    return {
      parameters: { constructor: weight },
      buffers: {},
      forward: ({ inputs }) => tf.matMul(inputs as tf.Tensor2D, weight as tf.Tensor2D),
    };
  };
  (await create({ workers: 1, model: { type } })).dispose();
});

test("an option of a group that is no plain data is refused alike with workers and in process", async () => {
  const callbacks = [{
    name: "Notes",
    gradients: (_: unknown, run: RunView) => void (run.optimizer.paramGroups[0].note = 1n),
  }];
  for (const workers of [1, 2]) {
    await assert.rejects(runOf(linear(workers, {}, { callbacks: callbacks as never })), {
      name: "CheckpointError",
      message: '"note": must be plain data, received 1n',
    });
  }
});

const modules: [what: string, workerUrl: URL | string, reason: RegExp][] = [
  ["is not there", new URL("./nowhere.js", import.meta.url), /nowhere\.js.*$/],
  [
    "ends before it says anything",
    new URL("../support/close.ts", import.meta.url),
    /: it ended before it said anything$/,
  ],
  ["cannot be fetched", "http://127.0.0.1:9/worker.js", /./],
];

for (const [what, workerUrl, reason] of modules) {
  test(`a worker's module that ${what} is refused at once`, async () => {
    const config = partsConfig({ workers: 2, checkpoint: false, name: undefined });
    const output = new Lines();
    const run = await IterationRunner.create(config, { imports, output, workerUrl });
    await assert.rejects(run.train(), ({ name, message }: Error) => {
      assert.equal(name, "ConfigError");
      assert.match(message, /^options\.workerUrl: .*\S+ cannot be loaded as a worker: /);
      assert.match(message, reason);
      assert.equal(message.split("\n").length, 1);
      return true;
    });
    run.dispose();
    assert.deepEqual(output.lines.filter((line) => line.includes("replacing")), []);
  });
}

test('workers "auto" are as many as there are cores, with 4 shards', async () => {
  const train = { iterations: 1, batchSize: 5 };
  const run = await create({ workers: "auto", shards: undefined, train });
  const { workers, shards } = await run.train();
  assert.deepEqual([workers, shards], [availableParallelism(), 4]);
  run.dispose();
});

test("what only the coordinator uses may be closures", async () => {
  const seen: number[] = [];
  const run = await create({
    train: { iterations: 2, batchSize: 5 },
    callbacks: [{ name: "Mine", updateEnd: () => void seen.push(seen.length) }],
  });
  await run.train();
  run.dispose();
  assert.deepEqual(seen, [0, 1]);
});
