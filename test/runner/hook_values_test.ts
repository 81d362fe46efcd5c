/** Hooks that change a value change the training; one step of each against numbers worked out here. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Callback, IterationRunner, tf } from "../../mod.ts";
import { changed } from "../../src/runner/hook_values.ts";
import { assertClose } from "../support/close.ts";
import { Lines, type Overrides } from "../support/runs.ts";
import { linear, linearConfig, observe, plain, regression } from "./support.ts";

const W = [0.3, -0.2, 0.1, 0.4, -0.5, 0.2], B = [0.05, -0.1];

/** The weights after one step of rate 1 on all 20 samples: W - gradient, then B - gradient. */
async function step(overrides: Overrides): Promise<number[]> {
  const { weights } = await observe(linearConfig({
    train: { iterations: 1, batchSize: 20 },
    optimizer: { type: "SGD", params: { lr: 1 } },
    validation: false,
    ...overrides,
  }));
  return weights;
}

/** Gradient of sum over cells of `slope(prediction - target, column) / count`, in doubles. */
function gradient(slope: (error: number, column: number) => number, count: number): number[] {
  const { inputs, targets } = regression(20).fields;
  const out = new Array<number>(8).fill(0);
  for (let i = 0; i < 20; i++) {
    for (let c = 0; c < 2; c++) {
      let y = B[c];
      for (let k = 0; k < 3; k++) y += inputs.data[3 * i + k] * W[2 * k + c];
      const g = slope(y - targets.data[2 * i + c], c) / count;
      for (let k = 0; k < 3; k++) out[2 * k + c] += g * inputs.data[3 * i + k];
      out[6 + c] += g;
    }
  }
  return out;
}

const minus = (g: number[], factor = 1): number[] => [...W, ...B].map((w, i) => w - factor * g[i]);
const square = (error: number): number => 2 * error;
const plainGradient = gradient(square, 40);

test("without hooks: the step of the mean squared error", async () => {
  assertClose(await step({}), minus(plainGradient), 1e-6);
});

test("batch: the batch it returns is trained on", async () => {
  const callback: Callback = {
    name: "Zero",
    batch: (batch) => ({ ...batch, targets: plain(20, () => 0).fields.targets }),
  };
  const toZero = await step({ callbacks: [callback] });
  assert.notDeepEqual(toZero, await step({}));
  const other = await step({ data: { type: () => ({ train: regression(20) }) }, callbacks: [] });
  assertClose(other, minus(plainGradient), 1e-6);
  // With targets of 0 the error is the prediction: slope 2 y instead of 2 (y - t).
  const { inputs } = regression(20).fields;
  const bias = [0, 0];
  for (let i = 0; i < 20; i++) {
    for (let c = 0; c < 2; c++) {
      let y = B[c];
      for (let k = 0; k < 3; k++) y += inputs.data[3 * i + k] * W[2 * k + c];
      bias[c] += 2 * y / 40;
    }
  }
  assertClose(toZero.slice(6), [B[0] - bias[0], B[1] - bias[1]], 1e-6);
});

test("batch: a smaller batch is cut and counted anew", async () => {
  const seen: number[] = [];
  const half: Callback = {
    name: "Half",
    batch: (batch) =>
      Object.fromEntries(
        Object.entries(batch).map(([name, { data, shape, dtype }]) => [name, {
          data: data.subarray(0, data.length / 2),
          shape: [shape[0] / 2, ...shape.slice(1)],
          dtype,
        }]),
      ),
  };
  await step({
    train: { iterations: 1, batchSize: 4, accumulate: 5 },
    callbacks: [half],
    model: { type: linear((y, _, { training }) => (training && seen.push(y.shape[0]), y)) },
    validation: false,
    test: false,
  });
  const [trial, ...leaves] = seen;
  assert.equal(trial, 2);
  assert.deepEqual(leaves, [4, 4, 2]);
});

test("output: what it returns goes into the loss, with its count", async () => {
  const first: Callback = {
    name: "First",
    output: ({ prediction, target }) => ({
      prediction: tf.slice(prediction, [0, 0], [-1, 1]),
      target: tf.slice(target, [0, 0], [-1, 1]),
    }),
  };
  const expected = gradient((error, c) => c === 0 ? 2 * error : 0, 20);
  assertClose(await step({ callbacks: [first] }), minus(expected), 1e-6);
});

test("loss: sum and count that it returns are minimised", async () => {
  const triple: Callback = {
    name: "Triple",
    loss: ({ sum, count }) => ({ sum: tf.mul(sum, 3) as tf.Scalar, count }),
  };
  assertClose(await step({ callbacks: [triple] }), minus(plainGradient, 3), 1e-6);
});

test("gradients: grads and scale that it returns make the update, one callback after the other", async () => {
  const halve: Callback = { name: "Halve", gradients: (v) => ({ ...v, scale: v.scale / 2 }) };
  const double: Callback = {
    name: "Double",
    gradients: (v) => ({
      ...v,
      grads: Object.fromEntries(Object.entries(v.grads).map(([k, g]) => [k, tf.mul(g, 4)])),
    }),
  };
  for (const shards of [1, 4]) {
    assertClose(await step({ callbacks: [halve], shards }), minus(plainGradient, 0.5), 1e-6);
    assertClose(await step({ callbacks: [double], shards }), minus(plainGradient, 4), 1e-6);
    assertClose(await step({ callbacks: [double, halve], shards }), minus(plainGradient, 2), 1e-6);
    const again = { ...double, name: "Again" };
    assertClose(await step({ callbacks: [double, again], shards }), minus(plainGradient, 16), 1e-5);
  }
});

test("gradients: a parameter that it leaves out is not updated", async () => {
  const onlyBias: Callback = {
    name: "OnlyBias",
    gradients: (v) => ({ ...v, grads: { bias: v.grads.bias } }),
  };
  const weights = await step({ callbacks: [onlyBias] });
  assertClose(weights, [...W, ...minus(plainGradient).slice(6)], 1e-6);
});

const norm = (p: number): number =>
  p === Infinity
    ? Math.max(...plainGradient.map(Math.abs))
    : plainGradient.reduce((sum, g) => sum + Math.abs(g) ** p, 0) ** (1 / p);

for (const [normType, p] of [[1, 1], [2, 2], [3, 3], ["inf", Infinity]] as const) {
  test(`ClipGradients: norm type ${normType}, whatever the shards; a large limit changes nothing`, async () => {
    for (const shards of [1, 3]) {
      const maxNorm = norm(p) / 4;
      const clipped = await step({
        train: { iterations: 1, batchSize: 20, clipGrad: { maxNorm, normType } },
        shards,
      });
      assertClose(clipped, minus(plainGradient, maxNorm / (norm(p) + 1e-6)), 1e-6);
      const large = await step({
        train: { iterations: 1, batchSize: 20, clipGrad: { maxNorm: norm(p) * 2, normType } },
        shards,
      });
      assertClose(large, minus(plainGradient), 1e-6);
    }
  });
}

test("ClipGradients: what other callbacks have made of the gradients is clipped", async () => {
  const scaled: Callback = { name: "Scaled", gradients: (v) => ({ ...v, scale: v.scale * 4 }) };
  const replaced: Callback = {
    name: "Replaced",
    gradients: (v) => ({
      ...v,
      grads: Object.fromEntries(Object.entries(v.grads).map(([k, g]) => [k, tf.mul(g, 4)])),
    }),
  };
  const factor = 4 * norm(2) / (4 * norm(2) + 1e-6);
  for (const callback of [scaled, replaced]) {
    const clipGrad = { maxNorm: norm(2) };
    const train = { iterations: 1, batchSize: 20, clipGrad };
    assertClose(await step({ train, callbacks: [callback] }), minus(plainGradient, factor), 1e-6);
  }
});

test("ClipGradients: by value, of the mean gradient, whatever the shards", async () => {
  const clipValue = norm(Infinity) / 3;
  const expected = minus(plainGradient.map((g) => Math.max(-clipValue, Math.min(clipValue, g))));
  for (const shards of [1, 3]) {
    const train = { iterations: 1, batchSize: 20, clipGrad: { clip_value: clipValue } };
    assertClose(await step({ train, shards } as Overrides), expected, 1e-6);
  }
});

test("grad_norm is the global norm before clipping, clipped or not", async () => {
  for (const clipGrad of [undefined, { maxNorm: 0.01 }, { clipValue: 0.01 }]) {
    for (const shards of [1, 3]) {
      const { watch } = await observe(linearConfig({
        train: { iterations: 1, batchSize: 20, ...clipGrad === undefined ? {} : { clipGrad } },
        shards,
      }));
      assertClose([watch.logged.train[1].grad_norm], [norm(2)], 1e-6);
    }
  }
});

test("ClipGradients: one of max_norm and clip_value", async () => {
  const rows: [Record<string, unknown>, RegExp][] = [
    [{}, /^train\.clipGrad: must have max_norm or clip_value, received neither$/],
    [
      { maxNorm: 1, clipValue: 1 },
      /^train\.clipGrad: must have max_norm or clip_value, received both$/,
    ],
    [{ maxNorm: 0 }, /^train\.clipGrad\.maxNorm: must be a number > 0, received 0$/],
    [{ maxNorm: 1, normType: "two" }, /^train\.clipGrad\.normType: must be a number > 0 or "inf"/],
  ];
  for (const [clipGrad, message] of rows) {
    await assert.rejects(
      IterationRunner.create(linearConfig({ train: { iterations: 1, clipGrad } }), {
        output: new Lines(),
      }),
      { name: "ConfigError", message },
    );
  }
});

test("AuxiliaryLoss: the mean of named outputs, weighted, is added to the loss and its gradient", async () => {
  const model = linear((y) => ({
    prediction: y,
    size: tf.square(y),
    first: tf.slice(y, [0, 0], [-1, 1]),
  }));
  const both = { type: "AuxiliaryLoss", params: { keys: ["size", "first"], weight: [0.5, -2] } };
  // mean over 40 cells of (y - t)^2 + 0.5 y^2, and over 20 samples of -2 y_0.
  const { inputs, targets } = regression(20).fields;
  const expected = new Array<number>(8).fill(0);
  let loss = 0;
  for (let i = 0; i < 20; i++) {
    for (let c = 0; c < 2; c++) {
      let y = B[c];
      for (let k = 0; k < 3; k++) y += inputs.data[3 * i + k] * W[2 * k + c];
      const t = targets.data[2 * i + c];
      const g = (2 * (y - t) + y) / 40 - (c === 0 ? 2 / 20 : 0);
      loss += ((y - t) ** 2 + 0.5 * y * y) / 40 - (c === 0 ? 2 * y / 20 : 0);
      for (let k = 0; k < 3; k++) expected[2 * k + c] += g * inputs.data[3 * i + k];
      expected[6 + c] += g;
    }
  }
  for (const shards of [1, 4]) {
    const overrides: Overrides = { model: { type: model }, callbacks: [both], shards };
    assertClose(await step(overrides), minus(expected), 1e-6);
    const { watch } = await observe(linearConfig({
      ...overrides,
      train: { iterations: 1, batchSize: 20 },
    }));
    assertClose(watch.losses, [loss], 1e-6);
    // Evaluation has the loss alone.
    assert.ok(watch.logged.val[1].loss >= 0);
  }
});

test("AuxiliaryLoss names an output that is not there", async () => {
  const message =
    /^callbacks\[0\]\.params\.keys: the model has no output 'aux_loss'; did you mean 'aux_los'\?/;
  const config = linearConfig({
    model: { type: linear((y) => ({ prediction: y, aux_los: tf.mean(y) })) },
    callbacks: ["AuxiliaryLoss"],
  });
  await assert.rejects(IterationRunner.create(config, { output: new Lines() }), {
    name: "ConfigError",
    message,
  });
});

const everyHook = ["batch", "output", "loss", "gradients", "values"] as const;

test("a hook that returns nothing keeps the value as it was", async () => {
  const called = new Set<string>();
  const hooks = everyHook.map((hook) => [hook, () => void called.add(hook)]);
  const silent = { name: "Silent", ...Object.fromEntries(hooks) } as Callback;
  assertClose(await step({ callbacks: [silent] }), minus(plainGradient), 1e-6);
  assert.deepEqual([...called].sort(), [...everyHook].sort());
  // Between two that change it.
  const halve: Callback = { name: "Halve", gradients: (v) => ({ ...v, scale: v.scale / 2 }) };
  const callbacks = [halve, silent, { ...halve, name: "Again" }];
  assertClose(await step({ callbacks }), minus(plainGradient, 0.25), 1e-6);
});

const rules: Record<typeof everyHook[number], string> = {
  batch: "a batch, { data, shape, dtype } by field name,",
  output: "{ prediction, target, mask }",
  loss: "{ sum, count } with a scalar sum",
  gradients: "{ grads, scale }",
  values: "numbers by name",
};
const refused: [hook: typeof everyHook[number], returned: () => unknown, shown: string][] = [
  ["batch", () => null, "null"],
  ["batch", () => 3, "3"],
  ["batch", () => [1], "[1]"],
  ["batch", () => ({ inputs: [1] }), '{"inputs":[1]}'],
  ["batch", () => Promise.resolve({}), "a Promise"],
  ["output", () => null, "null"],
  ["output", () => tf.scalar(1), "a Tensor"],
  ["output", () => ({ prediction: tf.scalar(1) }), '{"prediction":"a Tensor"}'],
  ["loss", () => 3, "3"],
  ["loss", () => tf.scalar(1), "a Tensor"],
  ["loss", () => ({ sum: tf.scalar(1) }), '{"sum":"a Tensor"}'],
  ["loss", () => ({ sum: tf.ones([2]), count: 2 }), '{"sum":"a Tensor","count":2}'],
  ["gradients", () => 3, "3"],
  ["gradients", () => null, "null"],
  ["gradients", () => ({ scale: 1 }), '{"scale":1}'],
  ["gradients", () => ({ grads: {} }), '{"grads":{}}'],
  ["gradients", () => Promise.resolve(), "a Promise"],
  ["values", () => null, "null"],
  ["values", () => ({ loss: "1" }), '{"loss":"1"}'],
];

for (const [hook, returned, shown] of refused) {
  test(`${hook}: what is no such value is refused in a line: ${shown}`, async () => {
    const before = tf.memory().numTensors;
    // Made before the pass, which would free it.
    const value = returned();
    const callback = { name: "Odd", [hook]: () => value };
    const double: Callback = {
      name: "Double",
      gradients: (v) => ({ ...v, grads: { bias: tf.mul(v.grads.bias, 2) } }),
    };
    await assert.rejects(step({ callbacks: [double, callback] as never }), {
      name: "ConfigError",
      message: `callbacks: "Odd".${hook} must return ${rules[hook]} or nothing, received ${shown}`,
    });
    tf.dispose(value as tf.TensorContainer);
    assert.equal(tf.memory().numTensors, before);
  });
}

test("deviceGradients: the value of another device or nothing", () => {
  const odd = { name: "Odd" };
  const value = { grads: {}, scale: 2 };
  assert.equal(changed(odd, "deviceGradients", value, undefined), value);
  const scale = tf.scalar(3);
  const other: { grads: object; scale: number | tf.Scalar } = { grads: {}, scale };
  assert.equal(changed<typeof other>(odd, "deviceGradients", value, other), other);
  scale.dispose();
  assert.throws(() => changed<unknown>(odd, "deviceGradients", value, { grads: scale, scale: 1 }), {
    name: "ConfigError",
    message: 'callbacks: "Odd".deviceGradients must return { grads, scale } or nothing, ' +
      'received {"grads":"a Tensor","scale":1}',
  });
});
