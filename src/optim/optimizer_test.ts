import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { assertClose } from "../../test/support/close.ts";
import { randomStream } from "../core/random.ts";
import * as tf from "../tensor/tf.ts";
import { buildOptimizer, type OptimizerConfig } from "./builder.ts";
import type { Gradients, Optimizer, SavedState } from "./optimizer.ts";

await useBackend("cpu");

const configs: OptimizerConfig[] = [
  { type: "SGD", params: { lr: 0.1 } },
  { type: "SGD", params: { lr: 0.1, momentum: 0.9, dampening: 0.3, weight_decay: 0.1 } },
  { type: "Adam", params: { lr: 0.1, amsgrad: true } },
  { type: "AdamW", params: { lr: 0.1 }, groups: [{ match: "bias", lr: 0.01 }] },
];

const shapes = { weight: [3, 2], bias: [2] };

function variables(): Record<string, tf.Variable> {
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, tf.variable(tf.ones(shape))]),
  );
}

function gradientsAt(step: number): Record<string, tf.Tensor> {
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const values = new Float32Array(tf.util.sizeFromShape(shape));
      return [name, tf.tensor(randomStream(5, name, step).normal(values), shape)];
    }),
  );
}

function update(optimizer: Optimizer, step: number): void {
  const grads = gradientsAt(step);
  optimizer.applyGradients(grads);
  tf.dispose(grads);
}

const valuesOf = (parameters: Record<string, tf.Variable>) =>
  Object.values(parameters).map((variable) => [...variable.dataSync()]);

/** A state dict as a file holds it: host arrays. */
function onHost(optimizer: Optimizer): SavedState {
  const { state, param_groups } = optimizer.stateDict();
  const host = Object.entries(state).map(([index, slots]) => [
    index,
    Object.fromEntries(
      Object.entries(slots).map(([key, value]) => [
        key,
        typeof value === "number" ? value : { data: [...value.dataSync()], shape: value.shape },
      ]),
    ),
  ]);
  return JSON.parse(JSON.stringify({ state: Object.fromEntries(host), param_groups }));
}

test("state saved at every step and loaded anew goes on as if not stopped", () => {
  for (const config of configs) {
    for (let stop = 0; stop < 4; stop++) {
      const one = variables();
      const whole = buildOptimizer(config, one);
      for (let step = 0; step < stop; step++) update(whole, step);
      const saved = onHost(whole);
      const byName = whole.exportState();
      const meta = JSON.parse(JSON.stringify(byName.meta));
      const resumed = [0, 1, 2].map(() => {
        const copy = variables();
        for (const name of Object.keys(copy)) copy[name].assign(one[name]);
        return { copy, optimizer: buildOptimizer(config, copy) };
      });
      resumed[0].optimizer.loadStateDict(saved);
      resumed[1].optimizer.loadStateDict(whole.stateDict());
      resumed[2].optimizer.importState({ tensors: byName.tensors, meta });
      assert.equal(resumed[2].optimizer.iterations, stop);
      for (let step = stop; step < 5; step++) {
        update(whole, step);
        for (const { copy, optimizer } of resumed) {
          update(optimizer, step);
          assert.deepEqual(valuesOf(copy), valuesOf(one));
        }
      }
      for (const { copy, optimizer } of resumed) {
        optimizer.dispose();
        tf.dispose(copy);
      }
      whole.dispose();
      tf.dispose(one);
    }
  }
});

test("stateDict() has torch's structure, live tensors, and copies of the groups", () => {
  const parameters = variables();
  const optimizer = buildOptimizer(configs[3], parameters);
  update(optimizer, 0);
  const dict = optimizer.stateDict();
  assert.deepEqual(Object.keys(dict.state[0]), ["step", "exp_avg", "exp_avg_sq"]);
  assert.deepEqual((dict.state[0].exp_avg as tf.Tensor).shape, [2]);
  assert.deepEqual(dict.param_groups.map((g) => [g.params, g.param_names, g.lr]), [
    [[0], ["bias"], 0.01],
    [[1], ["weight"], 0.1],
  ]);
  (dict.param_groups[0].betas as number[])[0] = 0;
  assert.deepEqual(optimizer.paramGroups[0].betas, [0.9, 0.999]);
  const before = [...(dict.state[0].exp_avg as tf.Tensor).dataSync()];
  update(optimizer, 1);
  assert.notDeepEqual([...(dict.state[0].exp_avg as tf.Tensor).dataSync()], before);
  optimizer.loadStateDict(optimizer.stateDict());
  assert.equal(optimizer.stateDict().state[1].step, 2);
  optimizer.dispose();
  tf.dispose(parameters);
});

test("loading replaces hyperparameters, also those of a scheduler, and takes torch's extra keys", () => {
  const parameters = variables();
  const optimizer = buildOptimizer(configs[0], parameters);
  optimizer.loadStateDict({
    state: { 0: { momentum_buffer: null } },
    param_groups: [{
      params: [0, 1],
      ...{
        lr: 0.5,
        momentum: 0.25,
        dampening: 0,
        weight_decay: 0,
        nesterov: false,
        maximize: false,
      },
      ...{ foreach: null, differentiable: false, fused: null, initial_lr: 2 },
    }],
  });
  const [{ lr, momentum, initial_lr, names }] = optimizer.paramGroups;
  assert.deepEqual([lr, momentum, initial_lr, names], [0.5, 0.25, 2, ["weight", "bias"]]);
  tf.dispose(parameters);
});

test("loadStateDict() refuses what belongs to another optimizer and changes nothing", () => {
  const parameters = variables();
  const optimizer = buildOptimizer(configs[3], parameters);
  update(optimizer, 0);
  const rows: [(saved: SavedState) => unknown, RegExp][] = [
    [() => 3, /^CheckpointError: optimizer state: must hold state and param_groups$/],
    [(s) => ({ ...s, param_groups: [] }), /must have 2 param_groups, received 0$/],
    [
      (s) => ({ ...s, param_groups: [{ params: [0, 1] }, s.param_groups[1]] }),
      /param_groups\[0\]: must have 1 params, received 2$/,
    ],
    [
      (s) => ({ ...s, param_groups: [s.param_groups[0], { params: [1], lr: -1 }] }),
      /param_groups\[1\]\.lr: must be a number >= 0, received -1$/,
    ],
    [(s) => ({ ...s, state: { ...s.state, 7: {} } }), /state\.7 belongs to no parameter$/],
    [
      (s) => ({ ...s, state: { ...s.state, 1: { ...s.state[1], exp_avgs: 1 } } }),
      /of 'weight': AdamW keeps no "exp_avgs"; did you mean 'exp_avg'\?/,
    ],
    [(s) => ({ ...s, state: { 1: { step: 1 } } }), /of 'weight': exp_avg is missing$/],
    [
      (s) => ({ ...s, state: { 1: { ...s.state[1], step: "1" } } }),
      /of 'weight': step must be a finite number, received "1"$/,
    ],
    [
      (s) => ({ ...s, state: { 1: { ...s.state[1], exp_avg: 1 } } }),
      /exp_avg must be a tensor or \{ data, shape \}, received 1$/,
    ],
    [
      (s) => ({ ...s, state: { 1: { ...s.state[1], exp_avg: { data: [1], shape: [2, 3] } } } }),
      /exp_avg must have shape \[3,2\], received \[2,3\] with 1 numbers$/,
    ],
  ];
  const before = onHost(optimizer);
  const tensors = tf.memory().numTensors;
  for (const [change, message] of rows) {
    assert.throws(() => optimizer.loadStateDict(change(onHost(optimizer)) as SavedState), message);
  }
  assert.deepEqual(onHost(optimizer), before);
  const { tensors: state, meta } = optimizer.exportState();
  const other = { ...meta, groups: [...meta.groups].reverse() };
  assert.throws(() => optimizer.importState({ tensors: state, meta: other }), /group 0 must hold/);
  assert.throws(
    () => optimizer.importState({ tensors: {}, meta: { ...meta, numbers: { wieght: {} } } }),
    /unknown parameter "wieght"; did you mean 'weight'\?/,
  );
  assert.equal(tf.memory().numTensors, tensors);
  optimizer.dispose();
  tf.dispose(parameters);
});

test("a parameter without a gradient is skipped: no state, no decay, no step", () => {
  const parameters = variables();
  const optimizer = buildOptimizer({ type: "AdamW", params: { weight_decay: 0.5 } }, parameters);
  const { weight, bias } = gradientsAt(0);
  const absent: Gradients[] = [
    { weight },
    { weight, bias: null },
    { weight, bias: undefined },
    [{ name: "weight", tensor: weight }, { name: "bias", tensor: undefined }],
  ];
  for (const grads of absent) optimizer.applyGradients(grads);
  assert.deepEqual(Object.keys(optimizer.stateDict().state), ["0"]);
  assert.equal(optimizer.stateDict().state[0].step, 4);
  assert.deepEqual([...parameters.bias.dataSync()], [1, 1]);
  optimizer.applyGradients({ bias });
  assert.deepEqual([0, 1].map((i) => optimizer.stateDict().state[i].step), [4, 1]);
  assert.ok(!weight.isDisposed && !bias.isDisposed);
  optimizer.dispose();
  tf.dispose([parameters, weight, bias]);
});

test("gradients are read by given names or else by the variables' own, never by both", () => {
  const parameters = {
    a: tf.variable(tf.tensor([1]), true, "own/a"),
    b: tf.variable(tf.tensor([1])),
  };
  const tied = { ...parameters, c: parameters.a, off: tf.variable(tf.tensor([1]), false) };
  const optimizer = buildOptimizer({ type: "SGD", params: { lr: 1 } }, tied);
  assert.deepEqual(optimizer.paramGroups[0].names, ["a", "b"]);
  const grad = tf.tensor([1]);
  optimizer.applyGradients({ c: grad, a: grad, off: grad });
  optimizer.applyGradients({ "own/a": grad, [parameters.b.name]: grad });
  assert.deepEqual([...parameters.a.dataSync(), ...parameters.b.dataSync()], [-1, 0]);
  assert.deepEqual([...tied.off.dataSync()], [1]);
  const rows: [Gradients, RegExp][] = [
    [
      { a: grad, [parameters.b.name]: grad },
      /gradients: names must all be .* "a" of the first kind/,
    ],
    [{ bb: grad }, /gradients\.bb: is no parameter of this optimizer; did you mean 'b'\?/],
    [{ a: tf.tensor([1, 2]) }, /gradients\.a: must have the shape of its variable, \[1\], receive/],
    [{ a: grad, c: tf.tensor([1]) }, /gradients\.c: is a second gradient of "a"$/],
  ];
  for (const [grads, message] of rows) {
    assert.throws(() => optimizer.applyGradients(grads), message);
  }
});

test("scale multiplies every gradient first, as a number or on the device", () => {
  for (const config of configs) {
    const [plain, byNumber, byTensor] = [variables(), variables(), variables()];
    const optimizers = [plain, byNumber, byTensor].map((p) => buildOptimizer(config, p));
    const quarter = tf.scalar(0.25);
    for (let step = 0; step < 3; step++) {
      const grads = gradientsAt(step);
      const scaled = Object.fromEntries(
        Object.entries(grads).map(([name, grad]) => [name, tf.mul(grad, 0.25)]),
      );
      optimizers[0].applyGradients(scaled);
      optimizers[1].applyGradients(grads, { scale: 0.25 });
      optimizers[2].applyGradients(grads, { scale: quarter });
      tf.dispose([grads, scaled]);
    }
    assert.deepEqual(valuesOf(byNumber), valuesOf(plain));
    assert.deepEqual(valuesOf(byTensor), valuesOf(plain));
  }
});

test("options may change between steps: missing state is made, betas and momentum count", () => {
  const parameters = variables();
  const optimizer = buildOptimizer({ type: "Adam" }, parameters);
  update(optimizer, 0);
  optimizer.paramGroups[0].amsgrad = true;
  optimizer.paramGroups[0].betas = [0.5, 0.999];
  const before = [...(optimizer.stateDict().state[1].exp_avg as tf.Tensor).dataSync()];
  update(optimizer, 1);
  const { exp_avg, max_exp_avg_sq, exp_avg_sq } = optimizer.stateDict().state[1] as Record<
    string,
    tf.Tensor
  >;
  const grads = gradientsAt(1);
  const expected = [...grads.bias.dataSync()].map((g, i) => (g + before[i]) / 2);
  assertClose(exp_avg.dataSync(), expected, 1e-7);
  assert.deepEqual(max_exp_avg_sq.dataSync(), exp_avg_sq.dataSync());

  const other = variables();
  const sgd = buildOptimizer({ type: "SGD", params: { lr: 1, dampening: 0.5 } }, other);
  sgd.applyGradients(grads);
  sgd.paramGroups[0].momentum = 0.9;
  sgd.applyGradients(grads);
  const buffer = sgd.stateDict().state[1].momentum_buffer as tf.Tensor;
  assert.deepEqual(buffer.dataSync(), grads.bias.dataSync());
  sgd.paramGroups[0].lr = NaN;
  assert.throws(() => sgd.applyGradients(grads), /paramGroups\[0\]\.lr: must be a finite number/);
});

test("50 updates leak no tensor and do not change clones of the parameters", () => {
  for (const config of configs) {
    const parameters = variables();
    const optimizer = buildOptimizer(config, parameters);
    const kept = tf.clone(parameters.weight);
    update(optimizer, 0);
    const { numTensors, numDataBuffers } = tf.memory();
    for (let step = 1; step < 50; step++) update(optimizer, step);
    assert.equal(tf.memory().numTensors, numTensors);
    assert.equal(tf.memory().numDataBuffers, numDataBuffers);
    assert.deepEqual([...kept.dataSync()], [1, 1, 1, 1, 1, 1]);
    optimizer.dispose();
    tf.dispose([parameters, kept]);
  }
});

test("minimize() adopts the variables, or finds them by their own names", () => {
  for (const config of configs) {
    for (const given of [false, true]) {
      const w = tf.variable(tf.tensor([3, -2]), true);
      const bias = tf.variable(tf.tensor([1]), true);
      const optimizer = buildOptimizer(
        { ...config, groups: [] },
        given ? { w, bias } : undefined,
      );
      assert.equal(optimizer.paramGroups.length, 1);
      optimizer.paramGroups[0].lr = 0.05;
      const loss = () => tf.add(tf.sum(tf.square(w)), tf.sum(tf.square(bias))) as tf.Scalar;
      const first = optimizer.minimize(loss, true, [w, bias])!;
      for (let i = 0; i < 60; i++) optimizer.minimize(loss, false, [w, bias]);
      const last = tf.tidy(loss);
      assert.ok(last.dataSync()[0] < 0.3 * first.dataSync()[0]);
      assert.equal(optimizer.iterations, 61);
      assert.equal(optimizer.paramGroups[0].lr, 0.05);
      assert.deepEqual(
        optimizer.paramGroups[0].names,
        given ? ["w", "bias"] : [w.name, bias.name],
      );
      optimizer.dispose();
      tf.dispose([w, bias, first, last]);
    }
  }
});

test("compile, fit, save and load: a tfjs model keeps optimizer and state", async () => {
  const model = tf.sequential({
    layers: [
      tf.layers.dense({ units: 8, activation: "tanh", inputShape: [2] }),
      tf.layers.dense({ units: 1 }),
    ],
  });
  const optimizer = buildOptimizer({
    type: "AdamW",
    params: { lr: 0.05, weight_decay: 1e-3 },
    groups: [{ match: "_Dense\\d+/bias", lr: 0.02 }],
    noDecay: "auto",
  });
  model.compile({ optimizer, loss: "meanSquaredError" });
  const host = randomStream(1).normal(new Float32Array(128));
  const x = tf.tensor(host, [64, 2]);
  const y = tf.tensor(Array.from({ length: 64 }, (_, i) => host[2 * i] - 0.5 * host[2 * i + 1]), [
    64,
    1,
  ]);
  const { history } = await model.fit(x, y, {
    epochs: 12,
    batchSize: 32,
    shuffle: false,
    verbose: 0,
  });
  assert.ok(Number(history.loss[11]) < 0.2 * Number(history.loss[0]), String(history.loss));
  assert.equal(optimizer.iterations, 24);
  assert.deepEqual(optimizer.paramGroups.map(({ lr, weight_decay }) => [lr, weight_decay]), [
    [0.02, 0],
    [0.05, 1e-3],
  ]);

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
  const copy = loaded.optimizer as Optimizer;
  assert.equal(copy.iterations, 24);
  const again = { epochs: 2, batchSize: 32, shuffle: false, verbose: 0 as const };
  const expected = await model.fit(x, y, again);
  const actual = await loaded.fit(x, y, again);
  assert.deepEqual(actual.history.loss, expected.history.loss);
  assert.deepEqual(copy.stateDict().state[0].step, optimizer.stateDict().state[0].step);
});
