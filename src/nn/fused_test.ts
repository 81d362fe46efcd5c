import { strict as assert } from "node:assert";
import { test } from "node:test";
import { noise, onBoth, take, useKernels } from "../../test/support/kernels.ts";
import type { WasmBackend } from "../kernels/wasm/context.ts";
import { randomStream } from "../core/random.ts";
import * as tf from "../tensor/tf.ts";
import { runKernel } from "./fused.ts";
import * as nn from "./nn.ts";

function draw(shape: number[], seed = 1): tf.Tensor {
  return tf.tensor(noise(tf.util.sizeFromShape(shape), seed), shape);
}

/** Names of the kernels that `f` runs. */
async function kernelsOf(f: () => void): Promise<string[]> {
  const { kernelNames } = await tf.profile(() => tf.tidy(() => void f()));
  return [...new Set(kernelNames)].filter((name) => name.startsWith("Downhill")).sort();
}

const weights = (gates: number, inputs: number, hidden: number): nn.RecurrentWeights => ({
  w_ih: draw([gates * hidden, inputs], 2),
  w_hh: draw([gates * hidden, hidden], 3),
  b_ih: draw([gates * hidden], 4),
  b_hh: draw([gates * hidden], 5),
});

/** A function of one tensor of the given shape, and its kernels, forward and backward. */
const FUNCTIONS: readonly (readonly [string, number[], (x: tf.Tensor) => tf.Tensor, string[]])[] = [
  [
    "linear",
    [3, 5],
    (x) => nn.linear(x, draw([5, 4]), draw([4])),
    ["DownhillLinear", "DownhillLinearInputGrad"],
  ],
  [
    "layerNorm",
    [3, 5],
    (x) => nn.layerNorm(x, draw([5]), draw([5])),
    ["DownhillNorm", "DownhillNormGrad"],
  ],
  ["rmsNorm", [3, 5], (x) => nn.rmsNorm(x, draw([5])), ["DownhillNorm", "DownhillNormGrad"]],
  ["gelu", [3, 5], nn.gelu, ["DownhillGelu", "DownhillGeluGrad"]],
  [
    "softmaxCrossEntropy",
    [3, 5],
    (x) => nn.softmaxCrossEntropy(x, tf.zeros(x.shape.slice(0, -1), "int32")),
    ["DownhillCrossEntropy", "DownhillCrossEntropyGrad"],
  ],
  [
    "attention",
    [2, 4, 5],
    (x) => nn.attention(x, x, x, { causal: true }),
    ["DownhillAttention", "DownhillAttentionGrad"],
  ],
  [
    "attention with a mask",
    [2, 4, 5],
    (x) => nn.attention(x, x, x, { mask: tf.greater(draw([4, 4]), 0) }),
    ["DownhillAttention", "DownhillAttentionGrad"],
  ],
  [
    "dropout",
    [3, 5],
    (x) => nn.dropout(x, 0.4, { training: true, random: randomStream(4) }),
    ["DownhillDropout"],
  ],
  [
    "movingAverage",
    [3, 5, 2],
    (x) => nn.movingAverage(x, 5),
    ["DownhillMovingAverage", "DownhillMovingAverageGrad"],
  ],
  [
    "embedding",
    [5, 3],
    (x) => nn.embedding(x, tf.tensor1d([4, 1, 9, 1], "int32")),
    ["DownhillEmbedding", "DownhillEmbeddingGrad"],
  ],
  [
    "lstm",
    [2, 3, 4],
    (x) => nn.lstm(x, weights(4, 4, 3)).output,
    ["DownhillLstm", "DownhillLstmGrad"],
  ],
  [
    "gru",
    [2, 3, 4],
    (x) => nn.gru(x, weights(3, 4, 3)).output,
    ["DownhillGru", "DownhillGruGrad"],
  ],
];

const gradient = (f: (x: tf.Tensor) => tf.Tensor) =>
  tf.grad((x: tf.Tensor) => {
    const y = f(x);
    return tf.sum(tf.mul(y, draw(y.shape, 9)));
  });

test("the functions of nn run as one kernel forward and backward on wasm", async () => {
  await useKernels();
  for (const [name, shape, f, kernels] of FUNCTIONS) {
    assert.deepEqual(await kernelsOf(() => gradient(f)(draw(shape))), kernels, name);
  }
});

test("the functions of nn equal their compositions on the cpu backend, empty batches too", async () => {
  await useKernels();
  for (const [name, shape, f] of FUNCTIONS) {
    const isTable = name === "embedding";
    for (const batch of isTable ? [shape[0]] : [shape[0], 1, 0]) {
      // tfjs' cpu backend has no steps of nothing.
      if (batch === 0 && ["lstm", "gru", "movingAverage"].includes(name)) continue;
      for (const g of [f, gradient(f)]) {
        const { cpu, wasm } = await onBoth(() => g(draw([batch, ...shape.slice(1)])));
        assert.equal(wasm.length, cpu.length, name);
        for (let i = 0; i < cpu.length; i++) {
          assert.ok(Math.abs(wasm[i] - cpu[i]) <= 5e-6, `${name} ${batch}: ${wasm[i]}, ${cpu[i]}`);
        }
      }
    }
  }
});

test("recurrent layers and moving averages of an empty batch are empty", async () => {
  await useKernels();
  for (const [name, shape, f] of FUNCTIONS) {
    if (!["lstm", "gru", "movingAverage"].includes(name)) continue;
    const y = tf.tidy(() => f(tf.zeros([0, ...shape.slice(1)])));
    assert.equal(y.shape[0], 0, name);
    assert.equal((await take(y)).length, 0, name);
  }
});

test("second derivatives on wasm are those of the compositions", async () => {
  await useKernels();
  for (const [name, shape, f] of FUNCTIONS) {
    // tfjs' average pooling has no second derivative.
    if (name === "movingAverage") continue;
    const first = tf.grad((x: tf.Tensor) => tf.sum(tf.square(f(x))));
    const { cpu, wasm } = await onBoth(() =>
      tf.grad((x: tf.Tensor) => tf.sum(tf.square(first(x))))(draw(shape))
    );
    for (let i = 0; i < cpu.length; i++) {
      assert.ok(Math.abs(wasm[i] - cpu[i]) <= 2e-5, `${name}: ${wasm[i]}, ${cpu[i]}`);
    }
  }
});

test("movingAverage() is linear: the gradient of its squared gradient is right on wasm", async () => {
  await useKernels();
  const x = draw([2, 7, 3]);
  const twice = (x: tf.Tensor): tf.Tensor =>
    tf.grad((x: tf.Tensor) => tf.sum(tf.square(nn.movingAverage(x, 5))))(x);
  // d/dx |A' A x|^2 = 2 A' A (2 A' A x) for the first derivative 2 A' A x: that rule again.
  const expected = await take(tf.mul(twice(twice(x)), 2));
  const actual = await take(tf.grad((x: tf.Tensor) => tf.sum(tf.square(twice(x))))(x));
  actual.forEach((v, i) => assert.ok(Math.abs(v - expected[i]) < 1e-5));
});

test("value and gradient of nn's functions leave no tensor and no byte behind", async () => {
  await useKernels();
  for (const [name, shape, f] of FUNCTIONS) {
    const x = draw(shape);
    const step = (): void => {
      const { value, grad } = tf.valueAndGrad((x: tf.Tensor) => tf.sum(f(x)))(x);
      tf.dispose([value, grad]);
      tf.tidy(() => void f(x));
    };
    const heap = (tf.backend() as unknown as WasmBackend).wasm;
    const use = (): number[] => {
      const { numTensors, numDataBuffers, numBytes } = tf.memory();
      return [numTensors, numDataBuffers, numBytes, heap.HEAPU8.length];
    };
    step();
    const before = use();
    for (let i = 0; i < 100; i++) step();
    assert.deepEqual(use(), before, name);
    x.dispose();
  }
});

test("attention's gradient has the same bits whether the weights were kept or are computed again", async () => {
  await useKernels();
  for (const isCausal of [false, true]) {
    const [query, key, value] = [[2, 70, 5], [2, 75, 5], [2, 75, 6]].map((shape, i) =>
      draw(shape, i)
    );
    const mask = tf.greater(draw([70, 75], 8), -0.3);
    const rule = { scale: 1.5, isCausal };
    const gradients = [true, false].map((keep) => {
      const [out, ...rest] = runKernel("DownhillAttention", { query, key, value, mask }, {
        ...rule,
        keep,
      });
      assert.equal(rest.length, keep ? 2 : 1);
      const [stats, weights] = rest;
      const inputs = { query, key, value, mask, out, stats, weights, dy: out };
      return runKernel("DownhillAttentionGrad", inputs, rule);
    });
    for (const i of [0, 1, 2]) {
      assert.deepEqual(await take(gradients[0][i]), await take(gradients[1][i]));
    }
  }
});

test("dropout drops the same elements on wasm and cpu, from any position of a stream", async () => {
  await useKernels();
  for (const size of [1, 3, 4, 7, 8, 13, 100]) {
    const { cpu, wasm } = await onBoth(() => {
      const random = randomStream(3).fork("odd");
      const options = { training: true, random };
      const first = nn.dropout(tf.ones([size]), 0.3, options);
      return tf.concat([
        first,
        nn.dropout(draw([5]), 0.5, options),
        nn.dropoutMask([3], 0.2, random),
      ]);
    });
    assert.deepEqual(wasm, cpu, `${size}`);
  }
});

test("a NaN in a row stays in its row", async () => {
  await useKernels();
  const rows = noise(15);
  rows[7] = NaN;
  for (const [name, shape, f] of FUNCTIONS) {
    if (shape.length !== 2 || name === "embedding") continue;
    const y = await take(tf.reshape(f(tf.tensor(rows, [3, 5])), [3, -1]));
    const width = y.length / 3;
    const isNaNRow = [0, 1, 2].map((i) =>
      y.subarray(i * width, (i + 1) * width).some(Number.isNaN)
    );
    assert.deepEqual(isNaNRow, [false, true, false], name);
  }
});

test("softmaxCrossEntropy() is NaN for a label that is no class, and finite beside a score of -Infinity", async () => {
  await useKernels();
  const scores = tf.tensor2d([[1, 2, -Infinity], [1, 2, 3], [1e4, 0, -1e4]]);
  const { cpu, wasm } = await onBoth(() =>
    nn.softmaxCrossEntropy(scores, tf.tensor1d([1, 3, 0], "int32"))
  );
  for (const y of [cpu, wasm]) {
    assert.ok(Math.abs(y[0] - Math.log1p(Math.exp(-1))) < 1e-6);
    assert.ok(!Number.isFinite(y[1]));
    assert.equal(y[2] + 0, 0);
  }
  assert.throws(() => nn.softmaxCrossEntropy(scores, tf.zeros([2], "int32")), {
    message:
      "softmaxCrossEntropy: labels must have the shape of scores without the classes, received shapes [3,3] and [2]",
  });
  assert.throws(() => nn.softmaxCrossEntropy(scores, tf.zeros([3]), { labelSmoothing: 2 }), {
    message: "softmaxCrossEntropy: labelSmoothing must be from 0 to 1, received 2",
  });
});

test("lstm() and gru() name the shape that does not fit", () => {
  const x = tf.zeros([2, 3, 4]);
  const { b_hh: _, ...half } = weights(4, 4, 3);
  assert.throws(() => nn.lstm(tf.zeros([3, 4]), weights(4, 4, 3)), {
    message: "lstm: x must be [batch, time, features] with at least one step, received [3,4]",
  });
  assert.throws(() => nn.gru(x, weights(4, 4, 3)), {
    message: "gru: w_ih must have shape [9,4], received [12,4]",
  });
  assert.throws(() => nn.lstm(x, half), {
    message: 'lstm: needs both of b_ih and b_hh, or none, received "b_ih alone"',
  });
  assert.throws(() => nn.lstm(x, weights(4, 4, 3), { c0: tf.zeros([3, 2]) }), {
    message: "lstm: c0 must have shape [2,3], received [3,2]",
  });
});
