import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { randomStream } from "../core/random.ts";
import * as init from "../nn/init.ts";
import * as tf from "../tensor/tf.ts";
import { fromLayers } from "./layers.ts";
import type { ForwardContext, Model } from "./model.ts";
import "./models.ts";
import { buildModel } from "./registry.ts";

const context = (training: boolean, seed = 1): ForwardContext => ({
  training,
  random: randomStream(seed),
});

const input = (shape: number[], seed = 9): tf.Tensor =>
  tf.tensor(randomStream(seed).normal(new Float32Array(tf.util.sizeFromShape(shape))), shape);

/** dense, batch norm, dropout, dense. */
function mixed(rate = 0.5): tf.LayersModel {
  return tf.sequential({
    layers: [
      tf.layers.dense({ units: 8, inputShape: [5], activation: "tanh" }),
      tf.layers.batchNormalization(),
      tf.layers.dropout({ rate }),
      tf.layers.dense({ units: 3, name: "head", kernelInitializer: "heUniform" }),
    ],
  });
}

/** A sequence model whose recurrent layers drop. */
function recurrent(): tf.LayersModel {
  const recurrentInitializer = "glorotUniform";
  return tf.sequential({
    layers: [
      tf.layers.lstm({
        units: 4,
        inputShape: [6, 3],
        recurrentInitializer,
        unitForgetBias: true,
        dropout: 0.3,
        recurrentDropout: 0.2,
        returnSequences: true,
      }),
      tf.layers.bidirectional({
        layer: tf.layers.gru({ units: 3, recurrentInitializer, dropout: 0.4 }) as tf.RNN,
        mergeMode: "concat",
      }),
      tf.layers.dense({ units: 2 }),
    ],
  });
}

function gradients(model: Model, f: () => tf.Tensor): Record<string, Float32Array> {
  return tf.tidy(() => {
    const names = Object.keys(model.parameters);
    const variables = names.map((name) => model.parameters[name]);
    const { grads } = tf.variableGrads(() => tf.sum(tf.square(f())) as tf.Scalar, variables);
    return Object.fromEntries(
      names.map((name, i) => [name, grads[variables[i].name].dataSync() as Float32Array]),
    );
  });
}

const values = (set: Record<string, tf.Variable> = {}) =>
  Object.fromEntries(Object.entries(set).map(([name, v]) => [name, [...v.dataSync()]]));

test("fromLayers() gives two builds in one process equal names and weights", async () => {
  await useBackend("wasm");
  const [a, b] = [fromLayers(mixed(), { seed: 4 }), fromLayers(mixed(), { seed: 4 })];
  assert.deepEqual(Object.keys(a.parameters), [
    "dense_Dense1.kernel",
    "dense_Dense1.bias",
    "batch_normalization_BatchNormalization1.gamma",
    "batch_normalization_BatchNormalization1.beta",
    "head.kernel",
    "head.bias",
  ]);
  assert.deepEqual(Object.keys(a.buffers!), [
    "batch_normalization_BatchNormalization1.moving_mean",
    "batch_normalization_BatchNormalization1.moving_variance",
  ]);
  assert.deepEqual(values(a.parameters), values(b.parameters));
  assert.notDeepEqual(
    values(a.parameters),
    values(fromLayers(mixed(), { seed: 5 }).parameters),
  );
  const [c, d] = [fromLayers(recurrent()), fromLayers(recurrent())];
  assert.deepEqual(Object.keys(c.parameters), [
    "lstm_LSTM1.kernel",
    "lstm_LSTM1.recurrent_kernel",
    "lstm_LSTM1.bias",
    ...["forward", "backward"].flatMap((way) =>
      ["kernel", "recurrent_kernel", "bias"].map((role) =>
        `bidirectional_Bidirectional1.${way}.${role}`
      )
    ),
    "dense_Dense1.kernel",
    "dense_Dense1.bias",
  ]);
  assert.deepEqual(values(c.parameters), values(d.parameters));
});

test("fromLayers() draws each weight by its layer's own initializer", async () => {
  await useBackend("wasm");
  const initializers: [string, tf.serialization.Serializable, init.Initializer][] = [
    ["glorotUniform", tf.initializers.glorotUniform({}), init.xavierUniform()],
    ["heUniform", tf.initializers.heUniform({}), init.varianceScaling({ scale: 2 })],
    [
      "leCunNormal",
      tf.initializers.leCunNormal({}),
      init.varianceScaling({ distribution: "truncatedNormal" }),
    ],
    ["uniform", tf.initializers.randomUniform({ minval: 1, maxval: 2 }), init.uniform(1, 2)],
    ["normal", tf.initializers.randomNormal({ mean: 3, stddev: 2 }), init.normal(3, 2)],
    ["truncated", tf.initializers.truncatedNormal({ stddev: 2 }), init.truncatedNormal(0, 2)],
    ["constant", tf.initializers.constant({ value: 7 }), init.constant(7)],
    ["identity", tf.initializers.identity({ gain: 2 }), init.identity(2)],
    ["orthogonal", tf.initializers.orthogonal({ gain: 2 }), init.orthogonal(2)],
  ];
  for (const [title, theirs, ours] of initializers) {
    const layer = tf.layers.dense({ units: 6, inputShape: [6], name: "d" });
    const model = tf.sequential({ layers: [layer] });
    (layer as unknown as { kernelInitializer: unknown }).kernelInitializer = theirs;
    const { parameters } = fromLayers(model, { random: randomStream(3) });
    const expected = ours([6, 6], randomStream(3).fork("d.kernel"));
    assert.deepEqual(parameters["d.kernel"].dataSync(), expected, title);
    assert.deepEqual([...parameters["d.bias"].dataSync()], [0, 0, 0, 0, 0, 0], title);
  }
  const lstm = fromLayers(recurrent());
  assert.deepEqual(
    [...lstm.parameters["lstm_LSTM1.bias"].dataSync()],
    [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0],
  );
});

test("fromLayers() keeps the weights on demand", async () => {
  await useBackend("wasm");
  const model = mixed();
  const before = model.getWeights().map((w) => [...w.dataSync()]);
  fromLayers(model, { keepInitialWeights: true });
  assert.deepEqual(model.getWeights().map((w) => [...w.dataSync()]), before);
  fromLayers(model);
  assert.notDeepEqual(model.getWeights().map((w) => [...w.dataSync()]), before);
});

test("fromLayers() has tfjs' own gradients with dropout off", async () => {
  await useBackend("wasm");
  const layers = mixed(0);
  const model = fromLayers(layers);
  const x = input([7, 5]);
  const ours = gradients(model, () => model.forward({ inputs: x }, context(true)) as tf.Tensor);
  const theirs = gradients(model, () => layers.apply(x, { training: true }) as tf.Tensor);
  assert.deepEqual(ours, theirs);
  assert.ok(ours["head.kernel"].some((v) => v !== 0));
});

test("fromLayers() moves batch-norm averages only while training", async () => {
  await useBackend("wasm");
  const model = fromLayers(mixed());
  const x = input([7, 5]);
  const before = values(model.buffers);
  const evaluated =
    () => [...(model.forward({ inputs: x }, context(false)) as tf.Tensor).dataSync()];
  assert.deepEqual(evaluated(), evaluated());
  assert.deepEqual(values(model.buffers), before);
  const { "dense_Dense1.kernel": kernel } = model.parameters;
  const hidden = tf.tanh(tf.matMul(x as tf.Tensor2D, kernel as tf.Tensor as tf.Tensor2D));
  tf.tidy(() => void model.forward({ inputs: x }, context(true)));
  const mean = [...tf.mean(hidden, 0).dataSync()];
  const name = "batch_normalization_BatchNormalization1.moving_mean";
  values(model.buffers)[name].forEach((v, i) => assert.ok(Math.abs(v - 0.01 * mean[i]) < 1e-7));
});

test("fromLayers() drops by the context's random numbers", async () => {
  await useBackend("wasm");
  for (
    const [title, layers, shape] of [
      ["dropout", mixed(), [7, 5]],
      ["recurrent", recurrent(), [5, 6, 3]],
    ] as [string, tf.LayersModel, number[]][]
  ) {
    const model = fromLayers(layers);
    const x = input(shape);
    const run = (
      training: boolean,
      seed: number,
    ) => [...(model.forward({ inputs: x }, context(training, seed)) as tf.Tensor).dataSync()];
    assert.deepEqual(run(true, 1), run(true, 1), title);
    assert.notDeepEqual(run(true, 1), run(true, 2), title);
    assert.notDeepEqual(run(true, 1), run(false, 1), title);
    assert.deepEqual(run(false, 1), run(false, 2), title);
    assert.deepEqual([...(layers.predict(x) as tf.Tensor).dataSync()], run(false, 1), title);
  }
});

/** A model whose `prediction` is the layer's own output for inputs [batch, ...shape]. */
function outputOf(layer: tf.layers.Layer, shape: number[]) {
  const x = tf.input({ shape });
  const noisy = layer.apply(x) as tf.SymbolicTensor;
  const outputs = [noisy, tf.layers.dense({ units: 1 }).apply(noisy) as tf.SymbolicTensor];
  const model = fromLayers(tf.model({ inputs: x, outputs }));
  return (inputs: tf.Tensor, training: boolean): Float32Array => {
    const output = model.forward({ inputs }, context(training)) as { prediction: tf.Tensor };
    return output.prediction.dataSync() as Float32Array;
  };
}

function moments(y: Float32Array): { mean: number; std: number } {
  const mean = y.reduce((s, v) => s + v, 0) / y.length;
  return { mean, std: Math.sqrt(y.reduce((s, v) => s + (v - mean) ** 2, 0) / y.length) };
}

test("noise layers have the moments of their rules", async () => {
  await useBackend("wasm");
  const rows: [string, tf.layers.Layer, number][] = [
    // title, layer, standard deviation of the output for an input of threes
    ["Dropout", tf.layers.dropout({ rate: 0.2 }), 1.5],
    ["SpatialDropout1D", tf.layers.spatialDropout1d({ rate: 0.2 }), 1.5],
    ["GaussianNoise", tf.layers.gaussianNoise({ stddev: 2 }), 2],
    ["GaussianDropout", tf.layers.gaussianDropout({ rate: 0.2 }), 1.5],
  ];
  for (const [title, layer, std] of rows) {
    const output = outputOf(layer, [4, 500]);
    const threes = tf.fill([20, 4, 500], 3);
    const y = output(threes, true);
    const got = moments(y);
    assert.ok(Math.abs(got.mean - 3) < 0.06, `${title}: mean ${got.mean}`);
    assert.ok(Math.abs(got.std - std) < 0.06, `${title}: standard deviation ${got.std}`);
    assert.ok(output(threes, false).every((v) => v === 3), `${title}: evaluation`);
    if (title === "SpatialDropout1D") {
      for (let t = 1; t < 4; t++) {
        assert.deepEqual(y.slice(t * 500, t * 500 + 500), y.slice(0, 500));
      }
    }
  }
  const alpha = outputOf(tf.layers.alphaDropout({ rate: 0.3 }), [2000]);
  const { mean, std } = moments(alpha(input([20, 2000]), true));
  assert.ok(Math.abs(mean) < 0.03, `AlphaDropout keeps mean 0, received ${mean}`);
  assert.ok(Math.abs(std - 1) < 0.03, `AlphaDropout keeps deviation 1, received ${std}`);
});

test("fromLayers() reads several inputs and gives several outputs by name", async () => {
  await useBackend("wasm");
  const [a, b] = [tf.input({ shape: [2], name: "left" }), tf.input({ shape: [2] })];
  const shared = tf.layers.dense({ units: 3 });
  const sum = tf.layers.add({ name: "sum" }).apply([
    shared.apply(a) as tf.SymbolicTensor,
    shared.apply(b) as tf.SymbolicTensor,
  ]) as tf.SymbolicTensor;
  const other = tf.layers.dense({ units: 1 }).apply(sum) as tf.SymbolicTensor;
  const model = fromLayers(tf.model({ inputs: [a, b], outputs: [sum, other] }));
  assert.deepEqual(Object.keys(model.parameters), [
    "dense_Dense1.kernel",
    "dense_Dense1.bias",
    "dense_Dense2.kernel",
    "dense_Dense2.bias",
  ]);
  const batch = { left: tf.ones([4, 2]), input1: tf.zeros([4, 2]) };
  const output = model.forward(batch, context(false)) as Record<string, tf.Tensor>;
  assert.deepEqual(Object.keys(output).sort(), ["dense_Dense2", "prediction"]);
  const expected = tf.sum(model.parameters["dense_Dense1.kernel"], 0).dataSync();
  assert.deepEqual(output.prediction.dataSync().slice(0, 3), expected);
  assert.throws(() => model.forward({ left: batch.left }, context(false)), {
    message: `Layers: the batch needs a field "input1", received ["left"]`,
  });
});

test("forward and backward of wrapped models leave no tensors behind", async () => {
  await useBackend("wasm");
  for (const [layers, shape] of [[mixed(), [7, 5]], [recurrent(), [5, 6, 3]]] as const) {
    const model = fromLayers(layers);
    const x = input([...shape]);
    const step = (i: number) => {
      gradients(model, () => model.forward({ inputs: x }, context(true, i)) as tf.Tensor);
      tf.tidy(() => void model.forward({ inputs: x }, context(false, i)));
    };
    step(0);
    const { numTensors } = tf.memory();
    for (let i = 1; i <= 20; i++) step(i);
    assert.equal(tf.memory().numTensors, numTensors);
  }
});

test("the type Layers builds from Keras JSON, given as object, text or file", async () => {
  await useBackend("wasm");
  const source = mixed();
  const text = source.toJSON() as unknown as string;
  const folder = mkdtempSync(join(tmpdir(), "downhill-layers-"));
  const path = join(folder, "model.json");
  writeFileSync(path, text);
  try {
    const build = (params: Record<string, unknown>) =>
      buildModel({ type: "Layers", params }, { random: randomStream(8) });
    const expected = values(fromLayers(source, { random: randomStream(8) }).parameters);
    for (const params of [{ json: text }, { json: JSON.parse(text) }, { path }]) {
      assert.deepEqual(values((await build(params)).parameters), expected);
    }
    for (
      const [params, message] of [
        [{}, "model.params: give 'json' or 'path', received neither"],
        [{ json: "{" }, /^model\.params\.json: must be the Keras JSON of a model: .*$/],
        [{ json: { class_name: "Nope", config: {} } }, /^model\.params\.json: must be .*Nope.*$/],
        [{ path: join(folder, "no.json") }, /^model\.params\.path: cannot read ".*ENOENT.*$/],
      ] as const
    ) {
      await assert.rejects(build(params), { name: "ConfigError", message });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("fromLayers() refuses what it would not honour, in one line", async () => {
  await useBackend("wasm");
  const dense = (extra: object) => tf.layers.dense({ units: 2, inputShape: [3], ...extra });
  const one = (layer: tf.layers.Layer) => tf.sequential({ layers: [layer] });
  class Odd extends tf.layers.Layer {
    static className = "Odd";
    override build() {
      this.addWeight("w", [2], "float32", tf.initializers.zeros());
      this.built = true;
    }
  }
  const odd = tf.sequential({ layers: [dense({}), new Odd()] });
  const rows: [tf.LayersModel, string][] = [
    [tf.sequential(), "the model has no layers"],
    [one(dense({ kernelRegularizer: "l1l2" })), "layer dense_Dense1 has a kernelRegularizer"],
    [one(dense({ biasConstraint: "nonNeg" })), "layer dense_Dense1 has a biasConstraint"],
    [
      one(tf.layers.simpleRNN({
        units: 2,
        stateful: true,
        batchInputShape: [2, 3, 4],
        recurrentInitializer: "zeros",
      })),
      "layer simple_rnn_SimpleRNN1 is stateful",
    ],
    [
      tf.sequential({ layers: [dense({}), tf.layers.batchNormalization({ scale: false })] }),
      "layer batch_normalization_BatchNormalization1 has scale or center false",
    ],
    [odd, "weight odd_Odd1.w has no initializer"],
  ];
  for (const [model, message] of rows) {
    assert.throws(() => fromLayers(model), (error: Error) => {
      assert.equal(error.name, "ConfigError");
      assert.ok(error.message.startsWith(`fromLayers: ${message}`), error.message);
      assert.ok(!error.message.includes("\n"));
      return true;
    });
  }
  assert.deepEqual(
    Object.keys(fromLayers(odd, { keepInitialWeights: true }).parameters),
    ["dense_Dense1.kernel", "dense_Dense1.bias", "odd_Odd1.w"],
  );
});

test("fromLayers() finds the layers that a layer of one's own keeps", async () => {
  await useBackend("wasm");
  class Block extends tf.layers.Layer {
    static className = "Block";
    readonly inner: tf.layers.Layer = tf.layers.dense({ units: 4 });
    readonly drop: tf.layers.Layer = tf.layers.dropout({ rate: 0.5 });
    override build(shape: tf.Shape) {
      this.inner.build(shape);
      this.built = true;
    }
    override get trainableWeights() {
      return this.inner.trainableWeights;
    }
    override computeOutputShape(shape: tf.Shape) {
      return this.inner.computeOutputShape(shape);
    }
    override call(inputs: tf.Tensor | tf.Tensor[], kwargs: { training?: boolean }) {
      const y = this.inner.call(inputs, kwargs);
      return this.drop.call(y, kwargs);
    }
  }
  const model = fromLayers(tf.sequential({
    layers: [
      tf.layers.dense({ units: 4, inputShape: [3] }),
      new Block(),
    ],
  }));
  assert.deepEqual(Object.keys(model.parameters), [
    "dense_Dense1.kernel",
    "dense_Dense1.bias",
    "block_Block1.inner.kernel",
    "block_Block1.inner.bias",
  ]);
  const run = (seed: number) =>
    (model.forward({ inputs: tf.ones([9, 3]) }, context(true, seed)) as tf.Tensor).dataSync();
  assert.deepEqual(run(1), run(1));
  assert.notDeepEqual(run(1), run(2));
});
