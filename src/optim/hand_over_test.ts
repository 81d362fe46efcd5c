import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { randomStream } from "../core/random.ts";
import * as tf from "../tensor/tf.ts";
import { buildOptimizer, type OptimizerConfig } from "./builder.ts";
import type { ImportedState, Optimizer } from "./optimizer.ts";

await useBackend("cpu");

const shapes: Record<string, number[]> = { "a.weight": [3, 2], "a.bias": [2], "b.weight": [2, 2] };

const named = <T>(make: (name: string, shape: number[]) => T): Record<string, T> =>
  Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, make(name, shape)]));

const draw = (name: string, shape: number[], step: number): tf.Tensor =>
  tf.tensor(
    randomStream(2, name, step).normal(new Float32Array(tf.util.sizeFromShape(shape))),
    shape,
  );

const variables = () => named((name, shape) => tf.tidy(() => tf.variable(draw(name, shape, 0))));

function update(optimizer: Optimizer, step: number): void {
  const gradients = named((name, shape) => draw(name, shape, step));
  optimizer.applyGradients(gradients);
  tf.dispose(gradients);
}

const valuesOf = (tensors: Readonly<Record<string, tf.Tensor>>) =>
  Object.entries(tensors).map(([name, tensor]) => [name, tensor.shape, [...tensor.dataSync()]]);

/** All that somebody may look at. */
async function looks(optimizer: Optimizer): Promise<unknown[]> {
  const { tensors, meta } = optimizer.exportState();
  const { state, param_groups } = optimizer.stateDict();
  const plain = (record: object) =>
    Object.entries(record).map(([key, value]) => [
      key,
      value instanceof tf.Tensor ? [...value.dataSync()] : value,
    ]);
  const weights = await optimizer.getWeights();
  const list = weights.map(({ name, tensor }) => [name, tensor.shape, [...tensor.dataSync()]]);
  const live = Object.values(tensors);
  tf.dispose(weights.map(({ tensor }) => tensor).filter((tensor) => !live.includes(tensor)));
  const shared = optimizer.units().map(({ rule }) => valuesOf(optimizer.sharedState(rule) ?? {}));
  return [
    valuesOf(tensors),
    meta,
    Object.values(state).map(plain),
    param_groups.map(plain),
    list,
    shared,
  ];
}

/** A second optimizer over the same variables that holds the state of the first. */
class Shadow {
  readonly #of: Optimizer;
  readonly optimizer: Optimizer;
  fetched = 0;
  changes = 0;

  constructor(of: Optimizer, config: OptimizerConfig, parameters: Record<string, tf.Variable>) {
    this.#of = of;
    this.optimizer = buildOptimizer(config, parameters);
    this.#take();
  }

  /** Host arrays, as from another memory; groups and iterations that are not to be read. */
  fetch(): ImportedState {
    this.fetched++;
    const { tensors, meta } = this.optimizer.exportState();
    const arrays = Object.entries(tensors).map(([name, tensor]) => [
      name,
      { data: tensor.dataSync().slice(), shape: tensor.shape },
    ]);
    const groups = meta.groups.map((group) => ({ ...group, lr: 99 }));
    return { tensors: Object.fromEntries(arrays), meta: { ...meta, groups, iterations: 99 } };
  }

  changed(): void {
    this.changes++;
    this.#take();
  }

  update(step: number): void {
    this.optimizer.paramGroups.forEach((group, i) => group.lr = this.#of.paramGroups[i].lr);
    update(this.optimizer, step);
    this.#of.noteUpdate();
  }

  #take(): void {
    const { tensors, meta } = this.#of.exportState();
    this.optimizer.importState({ tensors, meta });
  }
}

const configs: readonly OptimizerConfig[] = [
  { type: "SGD", params: { lr: 0.1 } },
  { type: "AdamW", params: { lr: 0.1 } },
  {
    type: "AdamW",
    params: { lr: 0.1 },
    groups: [{ match: "bias", optimizer: { type: "Prodigy", params: { d0: 0.01 } } }],
  },
  { type: "Prodigy", params: { d0: 0.01 } },
  { type: "Adafactor", params: { lr: 0.1 } },
  { type: "AdamWScheduleFree", params: { lr: 0.1 } },
];

for (const config of configs) {
  const title = `${config.type}${config.groups === undefined ? "" : " in groups"}`;

  test(`Optimizer.handOver(): ${title} shows the holder's state and goes on with its bits`, async () => {
    const before = tf.memory().numTensors;
    const [straight, handed] = [variables(), variables()];
    const expected = buildOptimizer(config, straight);
    const optimizer = buildOptimizer(config, handed);
    for (let step = 1; step < 3; step++) [expected, optimizer].forEach((o) => update(o, step));
    const shadow = new Shadow(optimizer, config, handed);
    const full = tf.memory().numTensors;
    optimizer.handOver(shadow);
    const held = Object.keys(expected.exportState().tensors).length;
    assert.equal(tf.memory().numTensors, full - held, "its own state is freed");
    for (let step = 3; step < 6; step++) {
      if (step === 4) { for (const o of [expected, optimizer]) o.paramGroups[0].lr *= 0.5; }
      update(expected, step);
      shadow.update(step);
      if (step === 3) continue;
      assert.equal(shadow.fetched, step - 4, "nobody looked");
      assert.deepEqual(await looks(optimizer), await looks(expected), `step ${step}`);
      assert.equal(shadow.fetched, step - 3, "one fetch for all looks after an update");
      for (const one of [expected, optimizer]) one.eval();
      assert.deepEqual(valuesOf(handed), valuesOf(straight), "in evaluation");
      for (const one of [expected, optimizer]) one.train();
      assert.deepEqual(valuesOf(handed), valuesOf(straight), "after it");
    }
    update(expected, 6);
    shadow.update(6);
    optimizer.handOver(undefined);
    shadow.optimizer.dispose();
    for (let step = 7; step < 9; step++) [expected, optimizer].forEach((o) => update(o, step));
    assert.deepEqual(await looks(optimizer), await looks(expected));
    assert.deepEqual(valuesOf(handed), valuesOf(straight));
    assert.equal(optimizer.iterations, 8);
    for (const one of [expected, optimizer]) one.dispose();
    tf.dispose([straight, handed]);
    assert.equal(tf.memory().numTensors, before);
  });
}

test("Optimizer.handOver(): evaluation looks at the state only where it has weights of its own", () => {
  for (const [type, fetched] of [["AdamW", 0], ["AdamWScheduleFree", 1]] as const) {
    const parameters = variables();
    const config = { type, params: {} };
    const optimizer = buildOptimizer(config, parameters);
    update(optimizer, 1);
    const shadow = new Shadow(optimizer, config, parameters);
    optimizer.handOver(shadow);
    shadow.update(2);
    optimizer.eval();
    optimizer.train();
    assert.equal(shadow.fetched, fetched, type);
    optimizer.dispose();
    shadow.optimizer.dispose();
    tf.dispose(parameters);
  }
});

test("Optimizer.importState(), loadStateDict() and setWeights() tell the holder, who has the new state", async () => {
  const parameters = variables(), others = variables();
  const config = { type: "AdamW", params: { lr: 0.1 } };
  const source = buildOptimizer({ ...config, params: { lr: 0.3 } }, others);
  for (let step = 1; step < 4; step++) update(source, step);
  const loaders: [string, number, (optimizer: Optimizer) => unknown][] = [
    ["importState", 0.3, (optimizer) => optimizer.importState(source.exportState())],
    ["loadStateDict", 0.3, (optimizer) => optimizer.loadStateDict(source.stateDict())],
    ["setWeights", 0.1, async (optimizer) => optimizer.setWeights(await source.getWeights())],
  ];
  for (const [title, lr, load] of loaders) {
    const optimizer = buildOptimizer(config, parameters);
    update(optimizer, 1);
    const shadow = new Shadow(optimizer, config, parameters);
    optimizer.handOver(shadow);
    await load(optimizer);
    assert.equal(shadow.changes, 1, title);
    assert.equal(shadow.fetched, 0, title);
    const own = shadow.optimizer.exportState();
    assert.deepEqual(valuesOf(own.tensors), valuesOf(source.exportState().tensors), title);
    assert.equal(optimizer.paramGroups[0].lr, lr);
    assert.throws(
      () => optimizer.importState({ tensors: {}, meta: { numbers: { x: {} } } }),
      /unknown parameter "x"/,
    );
    assert.equal(shadow.changes, 1, "nothing was loaded");
    optimizer.dispose();
    shadow.optimizer.dispose();
  }
  source.dispose();
  tf.dispose([parameters, others]);
});

test("Optimizer.handOver() refuses updates here, and optimizers that make several gradients", async () => {
  const parameters = variables();
  const optimizer = buildOptimizer({ type: "AdamW", params: {} }, parameters);
  const holder = { fetch: () => ({ tensors: {}, meta: { numbers: {} } }), changed() {} };
  assert.throws(() => optimizer.noteUpdate(), /^ConfigError: optimizer: makes its updates itself/);
  optimizer.handOver(holder);
  const gradients = named((name, shape) => draw(name, shape, 1));
  const start = valuesOf(parameters);
  const refusal = /^ConfigError: optimizer: is handed over: its updates are made elsewhere$/;
  assert.throws(() => optimizer.applyGradients(gradients), refusal);
  assert.throws(() => optimizer.perturb(gradients), refusal);
  await assert.rejects(optimizer.step(() => assert.fail("the closure is not called")), refusal);
  assert.deepEqual(valuesOf(parameters), start);
  assert.equal(optimizer.iterations, 0);
  optimizer.handOver(undefined);
  optimizer.applyGradients(gradients);
  assert.equal(optimizer.iterations, 1);
  for (const type of ["LBFGS", "SAM"]) {
    const params = type === "SAM" ? { optimizer: { type: "SGD", params: { lr: 1 } } } : {};
    const closing = buildOptimizer({ type, params }, parameters);
    assert.throws(
      () => closing.handOver(holder),
      /^ConfigError: optimizer: takes several gradients/,
    );
    closing.dispose();
  }
  const adopting = buildOptimizer({ type: "AdamW", params: {} });
  assert.throws(
    () => adopting.handOver(holder),
    /^ConfigError: optimizer: must be given its param/,
  );
  optimizer.dispose();
  tf.dispose([parameters, gradients]);
});

test("Optimizer.units() has every trained parameter; initialSlots() what it needs by its options", () => {
  const parameters = variables();
  const optimizer = buildOptimizer({
    type: "AdamW",
    params: { lr: 0.1 },
    groups: [{ match: "bias", optimizer: { type: "AdamWScheduleFree", params: { lr: 0.2 } } }],
  }, parameters);
  optimizer.paramGroups[0].lr = 5;
  const rows = optimizer.units().map((unit) => [
    unit.name,
    unit.param === parameters[unit.name],
    unit.rule.name,
    optimizer.paramGroups[unit.group].names.includes(unit.name),
    unit.baseLr,
    unit.state,
  ]);
  assert.deepEqual(rows, [
    ["a.bias", true, "AdamWScheduleFree", true, 0.2, undefined],
    ["a.weight", true, "AdamW", true, 0.1, undefined],
    ["b.weight", true, "AdamW", true, 0.1, undefined],
  ]);
  const [bias, weight] = optimizer.units();
  const before = tf.memory().numTensors;
  const first = optimizer.initialSlots(bias);
  assert.deepEqual(valuesOf(first), [
    ["z", [2], [...parameters["a.bias"].dataSync()]],
    ["exp_avg_sq", [2], [0, 0]],
  ]);
  const two = optimizer.initialSlots(weight);
  assert.deepEqual(Object.keys(two), ["exp_avg", "exp_avg_sq"]);
  optimizer.paramGroups[weight.group].amsgrad = true;
  const third = optimizer.initialSlots(weight, Object.keys(two));
  assert.deepEqual(valuesOf(third), [["max_exp_avg_sq", [3, 2], [0, 0, 0, 0, 0, 0]]]);
  tf.dispose([first, two, third]);
  assert.equal(tf.memory().numTensors, before);
  update(optimizer, 1);
  assert.deepEqual(Object.keys(optimizer.units()[2].state!.slots), [
    "exp_avg",
    "exp_avg_sq",
    "max_exp_avg_sq",
  ]);
  optimizer.dispose();
  tf.dispose(parameters);
});
