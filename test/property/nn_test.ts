/** Values and gradients of `nn` against formulas in float64 and their finite differences. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type RandomStream, randomStream } from "../../src/core/random.ts";
import * as nn from "../../src/nn/nn.ts";
import * as tf from "../../src/tensor/tf.ts";
import { backends } from "../support/kernels.ts";

type Values = Record<string, Float64Array>;
type Tensors = Record<string, tf.Tensor>;

/** A function on arguments of drawn sizes, with its formula. */
interface Case {
  readonly shapes: Record<string, number[]>;
  readonly ours: (t: Tensors) => tf.Tensor;
  readonly exact: (v: Values) => number[];
}

/** Draws a size from 1 to `most`. */
type Size = (most: number) => number;

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const range = (n: number): number[] => [...Array(n).keys()];
const sum = (n: number, f: (i: number) => number): number => range(n).reduce((s, i) => s + f(i), 0);

/** The error function by its power series, to double precision for |x| < 4. */
function erf(x: number): number {
  let term = x;
  let total = x;
  for (let n = 1; n < 120; n++) {
    term *= -x * x / n;
    total += term / (2 * n + 1);
  }
  return 2 / Math.sqrt(Math.PI) * total;
}

/** Rows i, f, g, o (or r, z, n) of W x + U h with biases, and the formula of a step. */
function sequence(
  gates: number,
  [batch, time, inputs, hidden]: number[],
  { x, w_ih, w_hh, b_ih, b_hh, h0 }: Values,
  step: (b: number, j: number, own: number[], last: number[], h: number) => number,
): number[] {
  const output: number[] = [];
  for (const b of range(batch)) {
    let h = range(hidden).map((j) => h0[b * hidden + j]);
    for (const t of range(time)) {
      const own = range(gates * hidden).map((g) =>
        b_ih[g] + sum(inputs, (i) => w_ih[g * inputs + i] * x[(b * time + t) * inputs + i])
      );
      const last = range(gates * hidden).map((g) =>
        b_hh[g] + sum(hidden, (i) => w_hh[g * hidden + i] * h[i])
      );
      h = range(hidden).map((j) => step(b, j, own, last, h[j]));
      output.push(...h);
    }
  }
  return output;
}

const recurrentShapes = (gates: number, [batch, time, inputs, hidden]: number[]) => ({
  ...{ x: [batch, time, inputs], w_ih: [gates * hidden, inputs], w_hh: [gates * hidden, hidden] },
  ...{ b_ih: [gates * hidden], b_hh: [gates * hidden], h0: [batch, hidden] },
});

const CASES: Record<string, (size: Size, random: RandomStream) => Case> = {
  linear: (size) => {
    const [m, k, n] = [size(9), size(11), size(9)];
    return {
      shapes: { x: [m, k], weight: [k, n], bias: [n] },
      ours: (t) => nn.linear(t.x, t.weight, t.bias),
      exact: ({ x, weight, bias }) =>
        range(m * n).map((at) =>
          bias[at % n] + sum(k, (p) => x[Math.floor(at / n) * k + p] * weight[p * n + at % n])
        ),
    };
  },
  layerNorm: (size) => {
    const [m, n] = [size(9), 1 + size(19)];
    return {
      shapes: { x: [m, n], gain: [n], bias: [n] },
      ours: (t) => nn.layerNorm(t.x, t.gain, t.bias, 0.1),
      exact: ({ x, gain, bias }) =>
        range(m).flatMap((i) => {
          const mean = sum(n, (j) => x[i * n + j]) / n;
          const variance = sum(n, (j) => (x[i * n + j] - mean) ** 2) / n;
          const scale = 1 / Math.sqrt(variance + 0.1);
          return range(n).map((j) => (x[i * n + j] - mean) * scale * gain[j] + bias[j]);
        }),
    };
  },
  rmsNorm: (size) => {
    const [m, n] = [size(9), size(19)];
    return {
      shapes: { x: [m, n], gain: [n] },
      ours: (t) => nn.rmsNorm(t.x, t.gain, 0.1),
      exact: ({ x, gain }) =>
        range(m).flatMap((i) => {
          const scale = 1 / Math.sqrt(sum(n, (j) => x[i * n + j] ** 2) / n + 0.1);
          return range(n).map((j) => x[i * n + j] * scale * gain[j]);
        }),
    };
  },
  gelu: (size) => {
    const n = size(40);
    return {
      shapes: { x: [n] },
      ours: (t) => nn.gelu(t.x),
      exact: ({ x }) => [...x].map((v) => v * (1 + erf(v * Math.SQRT1_2)) / 2),
    };
  },
  softmaxCrossEntropy: (size, random) => {
    const [m, n, labelSmoothing] = [size(9), size(19), size(2) === 1 ? 0 : 0.3];
    const labels = range(m).map(() => random.integer(n + 1) - 1);
    return {
      shapes: { scores: [m, n] },
      ours: (t) => {
        const options = { labelSmoothing, ignoreIndex: -1 };
        return nn.softmaxCrossEntropy(t.scores, tf.tensor(labels, [m], "int32"), options);
      },
      exact: ({ scores }) =>
        labels.map((label, i) => {
          const log = Math.log(sum(n, (j) => Math.exp(scores[i * n + j])));
          const all = sum(n, (j) => log - scores[i * n + j]) / n;
          const own = log - scores[i * n + label];
          return label < 0 ? 0 : (1 - labelSmoothing) * own + labelSmoothing * all;
        }),
    };
  },
  attention: (size, random) => {
    const [heads, m, n, d, e] = [size(3), size(9), size(13), size(9), size(9)];
    const causal = size(2) === 1;
    const mask = range(m * n).map(() => random.integer(3) > 0 ? 1 : 0);
    return {
      shapes: { query: [heads, m, d], key: [heads, n, d], value: [heads, n, e] },
      ours: (t) =>
        nn.attention(t.query, t.key, t.value, {
          mask: tf.tensor(mask, [m, n], "bool"),
          causal,
          scale: 0.6,
        }),
      exact: ({ query, key, value }) =>
        range(heads * m).flatMap((row) => {
          const [h, i] = [Math.floor(row / m), row % m];
          const weights = range(n).map((j) => {
            const score = sum(d, (p) => query[row * d + p] * key[(h * n + j) * d + p]);
            return mask[i * n + j] === 0 || (causal && j > i) ? 0 : Math.exp(0.6 * score);
          });
          const total = sum(n, (j) => weights[j]) || 1;
          return range(e).map((p) =>
            sum(n, (j) => weights[j] / total * value[(h * n + j) * e + p])
          );
        }),
    };
  },
  movingAverage: (size) => {
    const [batch, time, channels, half] = [size(3), size(19), size(5), size(7)];
    return {
      shapes: { x: [batch, time, channels] },
      ours: (t) => nn.movingAverage(t.x, 2 * half + 1),
      exact: ({ x }) =>
        range(batch * time * channels).map((at) => {
          const [b, t] = [Math.floor(at / (time * channels)), Math.floor(at / channels) % time];
          const from = (s: number): number =>
            x[(b * time + Math.min(Math.max(s, 0), time - 1)) * channels + at % channels];
          return sum(2 * half + 1, (k) => from(t + k - half)) / (2 * half + 1);
        }),
    };
  },
  embedding: (size, random) => {
    const [n, vocabulary, width] = [size(19), size(5), size(9)];
    const ids = range(n).map(() => random.integer(vocabulary + 2) - 1);
    return {
      shapes: { table: [vocabulary, width] },
      ours: (t) => nn.embedding(t.table, tf.tensor(ids, [n], "int32")),
      exact: ({ table }) =>
        ids.flatMap((id) => range(width).map((j) => table[id * width + j] ?? 0)),
    };
  },
  lstm: (size) => {
    const sizes = [size(4), size(4), size(5), size(7)];
    const hidden = sizes[3];
    return {
      shapes: { ...recurrentShapes(4, sizes), c0: [sizes[0], hidden] },
      ours: ({ x, h0, c0, ...weights }) => {
        const { output } = nn.lstm(x, weights as unknown as nn.RecurrentWeights, { h0, c0 });
        return output;
      },
      exact: (v) => {
        const c = [...v.c0];
        return sequence(4, sizes, v, (b, j, own, last) => {
          const [i, f, g, o] = range(4).map((q) => own[q * hidden + j] + last[q * hidden + j]);
          const at = b * hidden + j;
          c[at] = sigmoid(f) * c[at] + sigmoid(i) * Math.tanh(g);
          return sigmoid(o) * Math.tanh(c[at]);
        });
      },
    };
  },
  gru: (size) => {
    const sizes = [size(4), size(4), size(5), size(7)];
    const hidden = sizes[3];
    return {
      shapes: recurrentShapes(3, sizes),
      ours: ({ x, h0, ...weights }) =>
        nn.gru(x, weights as unknown as nn.RecurrentWeights, { h0 }).output,
      exact: (v) =>
        sequence(3, sizes, v, (_, j, own, last, h) => {
          const [r, z] = range(2).map((q) => sigmoid(own[q * hidden + j] + last[q * hidden + j]));
          const n = Math.tanh(own[2 * hidden + j] + r * last[2 * hidden + j]);
          return (1 - z) * n + z * h;
        }),
    };
  },
};

/** float32 sums of a few dozen terms; the differences are good to 1e-7. */
const TOLERANCE = 1e-5;
const STEP = 1e-4;
const DRAWS = 4;

function assertNear(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  assert.equal(actual.length, expected.length, what);
  const largest = Array.from(expected).reduce((m, x) => Math.max(m, Math.abs(x)), 1);
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i] - expected[i]) / largest;
    assert.ok(error <= TOLERANCE, `${what} at ${i}: ${actual[i]}, expected ${expected[i]}`);
  }
}

for (const [backend, use] of backends) {
  test(`nn equals float64 formulas and their finite differences, ${backend}`, async () => {
    await use();
    for (const [name, make] of Object.entries(CASES)) {
      for (const draw of range(DRAWS)) {
        const random = randomStream(7, name, draw);
        const { shapes, ours, exact } = make((most) => 1 + random.integer(most), random);
        const names = Object.keys(shapes);
        const values: Values = Object.fromEntries(names.map((key) => {
          const data = random.normal(new Float32Array(tf.util.sizeFromShape(shapes[key])));
          return [key, Float64Array.from(data)];
        }));
        const what = `${name}, draw ${draw}, shapes ${JSON.stringify(shapes)}`;
        const output = exact(values);
        const weights = random.normal(new Float32Array(output.length));
        const loss = (): number => exact(values).reduce((s, y, i) => s + y * weights[i], 0);

        const tensors = names.map((key) => tf.tensor([...values[key]], shapes[key], "float32"));
        const called = (...list: tf.Tensor[]): tf.Tensor =>
          tf.reshape(ours(Object.fromEntries(names.map((key, i) => [key, list[i]]))), [-1]);
        assertNear(await tf.tidy(() => called(...tensors)).data(), output, what);
        const gradients = tf.grads((...list) => tf.sum(tf.mul(called(...list), weights)))(tensors);
        for (const [i, key] of names.entries()) {
          const expected = values[key].map((x, at) => {
            values[key][at] = x + STEP;
            const above = loss();
            values[key][at] = x - STEP;
            const below = loss();
            values[key][at] = x;
            return (above - below) / (2 * STEP);
          });
          assertNear(await gradients[i].data(), expected, `${what}: d${key}`);
        }
      }
    }
  });
}
