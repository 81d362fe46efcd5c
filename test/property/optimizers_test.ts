/** What every registered optimizer keeps to. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { randomStream } from "../../src/core/random.ts";
import { buildOptimizer } from "../../src/optim/builder.ts";
import type { Optimizer, SavedState } from "../../src/optim/optimizer.ts";
import * as tf from "../../src/tensor/tf.ts";
import { useBackend } from "../support/backend.ts";
import { optimizerConfigs } from "../support/optimizer_configs.ts";

await useBackend("cpu");

const configs = optimizerConfigs;

const firstOrder = configs.filter(({ type }) => type !== "LBFGS");

const shapes = { matrix: [3, 2], vector: [2], cube: [2, 2, 2] };

function variables(): Record<string, tf.Variable> {
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const values = randomStream(3, name).normal(new Float32Array(tf.util.sizeFromShape(shape)));
      return [name, tf.tidy(() => tf.variable(tf.tensor(values, shape)))];
    }),
  );
}

/** Gradients that depend on the step and on the parameters, as a closure gives them. */
function gradientsAt(step: number, parameters: Record<string, tf.Variable>) {
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const values = randomStream(5, name, step).normal(
        new Float32Array(tf.util.sizeFromShape(shape)),
      );
      return [name, tf.tidy(() => tf.add(tf.tensor(values, shape), parameters[name]))];
    }),
  );
}

async function update(
  optimizer: Optimizer,
  step: number,
  parameters: Record<string, tf.Variable>,
): Promise<void> {
  await optimizer.step(() => {
    const grads = gradientsAt(step, parameters);
    const value = tf.tidy(() => tf.addN(Object.values(grads).map((g) => tf.sum(tf.square(g)))));
    return { value, grads };
  });
}

const valuesOf = (parameters: Record<string, tf.Variable>) =>
  Object.values(parameters).map((variable) => [...variable.dataSync()]);

/** The value of a loss now. */
function valueOf(loss: () => tf.Scalar): number {
  const value = tf.tidy(loss);
  const [number] = value.dataSync();
  value.dispose();
  return number;
}

/** A state dict as a file holds it: host arrays. */
function onHost(optimizer: Optimizer): SavedState {
  const { state, param_groups } = optimizer.stateDict();
  const host = (value: unknown) =>
    value instanceof tf.Tensor ? { data: [...value.dataSync()], shape: value.shape } : value;
  const all = (record: object) =>
    Object.fromEntries(Object.entries(record).map(([key, value]) => [key, host(value)]));
  return JSON.parse(JSON.stringify({
    state: Object.fromEntries(Object.entries(state).map(([index, slots]) => [index, all(slots)])),
    param_groups: param_groups.map(all),
  }));
}

for (const config of configs) {
  const { type } = config;

  test(`${type}: saved at every step and loaded in three ways, it goes on as if not stopped`, async () => {
    const one = variables();
    const whole = buildOptimizer(config, one);
    for (let stop = 0; stop < 7; stop++) {
      const byName = whole.exportState();
      const meta = JSON.parse(JSON.stringify(byName.meta));
      const loaders: ((optimizer: Optimizer) => unknown)[] = [
        (optimizer) => optimizer.loadStateDict(onHost(whole)),
        (optimizer) => optimizer.importState({ tensors: byName.tensors, meta }),
        async (optimizer) => optimizer.setWeights(await whole.getWeights()),
      ];
      const resumed = [];
      for (const load of loaders) {
        const copy = variables();
        for (const name of Object.keys(copy)) copy[name].assign(one[name]);
        const optimizer = buildOptimizer(config, copy);
        await load(optimizer);
        resumed.push({ copy, optimizer });
      }
      await update(whole, stop, one);
      for (const [i, { copy, optimizer }] of resumed.entries()) {
        await update(optimizer, stop, copy);
        assert.deepEqual(valuesOf(copy), valuesOf(one), `loader ${i} after ${stop} steps`);
        assert.deepEqual(onHost(optimizer), onHost(whole));
        optimizer.dispose();
        tf.dispose(copy);
      }
    }
    whole.dispose();
    tf.dispose(one);
  });

  test(`${type}: updates leak nothing, and clones of the parameters stay as they were`, async () => {
    const parameters = variables();
    const before = tf.memory().numTensors;
    const optimizer = buildOptimizer(config, parameters);
    const kept = Object.values(parameters).map((variable) => tf.clone(variable));
    const start = valuesOf(parameters);
    await update(optimizer, 0, parameters);
    const { numTensors } = tf.memory();
    for (let step = 1; step < 8; step++) await update(optimizer, step, parameters);
    optimizer.eval();
    optimizer.train();
    assert.equal(tf.memory().numTensors, numTensors);
    assert.deepEqual(kept.map((tensor) => [...tensor.dataSync()]), start);
    assert.notDeepEqual(valuesOf(parameters), start);
    assert.ok(valuesOf(parameters).flat().every(Number.isFinite));
    optimizer.dispose();
    tf.dispose(kept);
    assert.equal(tf.memory().numTensors, before);
    tf.dispose(parameters);
  });

  test(`${type}: maximize moves as the negated gradient does`, () => {
    if (type === "LBFGS") return;
    const [up, down] = [variables(), variables()];
    const inner = config.params.optimizer as { type: string; params: object } | undefined;
    const climbing = inner === undefined
      ? { ...config.params, maximize: true }
      : { ...config.params, optimizer: { ...inner, params: { ...inner.params, maximize: true } } };
    const optimizers = [
      buildOptimizer({ type, params: climbing }, up),
      buildOptimizer(config, down),
    ];
    for (let step = 0; step < 4; step++) {
      const grads = gradientsAt(step, down);
      const negated = Object.fromEntries(
        Object.entries(grads).map(([name, g]) => [name, tf.neg(g)]),
      );
      for (const [i, g] of [negated, grads].entries()) {
        if (optimizers[i].perturbs) optimizers[i].perturb(g);
        optimizers[i].applyGradients(g);
      }
      tf.dispose([grads, negated]);
      assert.deepEqual(valuesOf(up), valuesOf(down), `step ${step}`);
    }
    tf.dispose([up, down]);
  });

  test(`${type}: a parameter without a gradient is skipped`, () => {
    if (type === "LBFGS") return;
    const parameters = variables();
    const optimizer = buildOptimizer(config, parameters);
    const { vector, cube } = gradientsAt(0, parameters);
    const still = [...parameters.matrix.dataSync()];
    for (const grads of [{ vector, cube, matrix: null }, { vector, cube }]) {
      if (optimizer.perturbs) optimizer.perturb(grads);
      optimizer.applyGradients(grads);
    }
    assert.deepEqual([...parameters.matrix.dataSync()], still);
    const index = optimizer.paramGroups.flatMap(({ names }) => names).indexOf("matrix");
    assert.ok(!Object.hasOwn(optimizer.stateDict().state, index));
    optimizer.dispose();
    tf.dispose([parameters, vector, cube]);
  });
}

/** Those whose update has steps of its own on tensors, or needs two gradients. */
const withoutGuards = ["ASAM", "Adafactor", "Prodigy", "SAM"];

for (const config of firstOrder) {
  const { type } = config;

  test(`${type}: a step whose guard is not finite leaves no trace, or a guard is refused`, () => {
    const results: unknown[] = [];
    for (const guards of [[1, 1, 1], [NaN, 1, Infinity, 1, NaN, 1]]) {
      const parameters = variables();
      const optimizer = buildOptimizer(config, parameters);
      assert.equal(optimizer.obeysGuards, !withoutGuards.includes(type));
      if (!optimizer.obeysGuards) {
        const refused = /guard: is not obeyed by every type of this optimizer$/;
        optimizer.perturbs && optimizer.perturb(gradientsAt(0, parameters));
        assert.throws(
          () => optimizer.applyGradients(gradientsAt(0, parameters), { guard: tf.scalar(1) }),
          refused,
        );
        return;
      }
      for (const value of guards) {
        const grads = gradientsAt(0, parameters);
        const guard = tf.tensor([1, value]);
        optimizer.applyGradients(grads, { guard });
        optimizer.settle(Number.isFinite(value));
        tf.dispose([grads, guard]);
      }
      results.push([valuesOf(parameters), onHost(optimizer), optimizer.iterations]);
      optimizer.dispose();
      tf.dispose(parameters);
    }
    assert.deepEqual(results[1], results[0]);
  });

  test(`${type}: minimize() lowers the loss of variables it adopts, and answers that of before`, () => {
    const w = tf.variable(tf.tensor([[3, -2], [1, 2]]));
    const bias = tf.variable(tf.tensor([1, -1]));
    const optimizer = buildOptimizer(config);
    const loss = () => tf.add(tf.sum(tf.square(w)), tf.sum(tf.square(bias))) as tf.Scalar;
    const first = valueOf(loss);
    optimizer.minimize(loss, false, [w, bias]);
    const { numTensors } = tf.memory();
    for (let i = 0; i < 80; i++) {
      const before = valueOf(loss);
      const cost = optimizer.minimize(loss, i % 2 === 0, [w, bias]);
      if (i % 2 === 1) assert.equal(cost, null);
      else assert.equal(cost!.dataSync()[0], before, `the loss before update ${i}`);
      cost?.dispose();
    }
    assert.equal(tf.memory().numTensors, numTensors);
    optimizer.eval();
    const last = valueOf(loss);
    assert.ok(last < 0.9 * first, `${first} -> ${last}`);
    optimizer.dispose();
    tf.dispose([w, bias]);
  });

  test(`${type}: compile() and fit() train a tfjs model, which saves the state`, async () => {
    const model = tf.sequential({
      layers: [
        tf.layers.dense({ units: 4, activation: "tanh", inputShape: [3] }),
        tf.layers.dense({ units: 2 }),
      ],
    });
    model.layers.forEach((layer, i) => {
      layer.setWeights(
        layer.getWeights().map((w, j) => {
          const values = randomStream(11, i, j).normal(new Float32Array(w.size));
          return tf.tensor(values.map((x) => x / 2), w.shape);
        }),
      );
    });
    const optimizer = buildOptimizer(config);
    model.compile({ optimizer, loss: "meanSquaredError", metrics: ["mse"] });
    const x = tf.tensor(randomStream(1).normal(new Float32Array(96)), [32, 3]);
    const y = tf.matMul(x as tf.Tensor2D, tf.tensor2d([[1, 0], [0.5, -1], [0, 0.3]]));
    const options = { batchSize: 16, shuffle: false, verbose: 0 as const };
    const { history } = await model.fit(x, y, { ...options, epochs: 12 });
    const losses = history.loss as number[];
    assert.ok(losses[11] < 0.97 * losses[0], String(losses));
    assert.equal(optimizer.iterations, 24);
    assert.deepEqual(history.mse, history.loss);
    const [whole] = model.evaluate(x, y, { verbose: 0, batchSize: 32 }) as tf.Scalar[];
    const { numTensors } = tf.memory();
    const once = await model.fit(x, y, { ...options, batchSize: 32, epochs: 1 });
    assert.deepEqual(once.history.loss, [...whole.dataSync()]);
    // tfjs keeps each metric of every evaluation of the loss, and disposes those of one.
    assert.equal(tf.memory().numTensors, numTensors + (optimizer.perturbs ? 1 : 0));

    const saved: { artifacts?: tf.io.ModelArtifacts } = {};
    await model.save(
      tf.io.withSaveHandler((artifacts) => {
        saved.artifacts = artifacts;
        return Promise.resolve({
          modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: "JSON" as const },
        });
      }),
      { includeOptimizer: true },
    );
    const loaded = await tf.loadLayersModel(tf.io.fromMemory(saved.artifacts!)) as tf.LayersModel;
    const [expected, actual] = [model, loaded].map((m) => m.fit(x, y, { ...options, epochs: 2 }));
    assert.deepEqual((await actual).history.loss, (await expected).history.loss);
  });
}
