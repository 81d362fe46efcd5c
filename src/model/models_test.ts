import { strict as assert } from "node:assert";
import { test } from "node:test";
import { assertNear, type FixtureArray, tensorOf } from "../../test/support/arrays.ts";
import { useBackend } from "../../test/support/backend.ts";
import { backends } from "../../test/support/kernels.ts";
import { readFixture } from "../../test/support/fixture.ts";
import { randomStream } from "../core/random.ts";
import * as tf from "../tensor/tf.ts";
import type { Model } from "./model.ts";
import "./models.ts";
import { buildModel } from "./registry.ts";

type Arrays = Record<string, FixtureArray>;

interface Phase {
  readonly output: FixtureArray;
  readonly gradients: Arrays;
  readonly buffers: Arrays;
}

interface Case {
  readonly title: string;
  readonly model: string;
  readonly params: Record<string, unknown>;
  readonly inputs: FixtureArray;
  readonly coefficients: FixtureArray;
  readonly parameters: Arrays;
  readonly buffers: Arrays;
  readonly train: Phase;
  readonly eval?: Phase;
}

/** float32 arithmetic through a few layers against float64, relative to the largest element; tfjs' own
 * kernels come to 0.8e-5. */
const TOLERANCE = 2e-5;

/** A gradient tensor below this part of the largest gradient is compared with that part instead. */
const SMALL = 1e-2;

const { cases } = readFixture<{ cases: Case[] }>("models.json");

function build(type: string, params: Record<string, unknown>, seed = 1): Promise<Model> {
  return buildModel({ type, params }, { random: randomStream(seed) });
}

function gradients(model: Model, f: () => tf.Tensor): Record<string, tf.Tensor> {
  const names = Object.keys(model.parameters);
  const variables = names.map((name) => model.parameters[name]);
  const { grads, value } = tf.variableGrads(() => tf.sum(f()) as tf.Scalar, variables);
  value.dispose();
  return Object.fromEntries(names.map((name, i) => [name, grads[variables[i].name]]));
}

for (const [backend, use] of backends) {
  for (const row of cases) {
    test(`${row.title}: values, gradients and averages of torch on ${backend}`, async () => {
      await use();
      const model = await build(row.model, row.params);
      const buffers = model.buffers ?? {};
      assert.deepEqual(Object.keys(model.parameters).sort(), Object.keys(row.parameters).sort());
      assert.deepEqual(Object.keys(buffers).sort(), Object.keys(row.buffers).sort());
      for (const [name, v] of Object.entries(row.parameters)) {
        model.parameters[name].assign(tensorOf(v));
      }
      for (const [name, v] of Object.entries(row.buffers)) buffers[name].assign(tensorOf(v));
      const inputs = tensorOf(row.inputs);
      for (const phase of ["eval", "train"] as const) {
        const expected = row[phase];
        if (expected === undefined) continue;
        const context = { training: phase === "train", random: randomStream(1) };
        let output: tf.Tensor | undefined;
        const grads = gradients(model, () => {
          output = tf.keep(model.forward({ inputs }, context) as tf.Tensor);
          return tf.mul(output, tensorOf(row.coefficients));
        });
        await assertNear(output!, expected.output, TOLERANCE, `${phase} output`);
        const largest = Math.max(
          ...Object.values(expected.gradients).flatMap(({ data }) => data.map(Math.abs)),
        );
        for (const [name, gradient] of Object.entries(expected.gradients)) {
          const floor = SMALL * largest;
          await assertNear(grads[name], gradient, TOLERANCE, `${phase} d${name}`, floor);
        }
        for (const [name, buffer] of Object.entries(expected.buffers)) {
          await assertNear(buffers[name], buffer, TOLERANCE, `${phase} ${name}`);
        }
      }
      model.dispose?.();
    });
  }
}

test("PatchTST has 42 patches of 16 for 336 steps and the paper's defaults", async () => {
  await useBackend("wasm");
  const model = await build("PatchTST", { inputLength: 336, outputLength: 96, channels: 7 });
  const shapes = Object.entries(model.parameters).map(([name, v]) => [name, v.shape]);
  assert.deepEqual(Object.fromEntries(shapes)["position"], [42, 16]);
  assert.deepEqual(Object.fromEntries(shapes)["head.weight"], [672, 96]);
  const size = Object.values(model.parameters).reduce((sum, v) => sum + v.size, 0);
  // Embedding, positions, 3 layers (attention, feed-forward, norms), head.
  assert.equal(size, 272 + 672 + 3 * (1088 + 4240 + 64) + 64608);
  model.dispose?.();
});

test("models draw dropout from the context: equal streams repeat, others differ", async () => {
  await useBackend("wasm");
  const sizes = { inputLength: 24, outputLength: 4, channels: 2 };
  const rows: [string, Record<string, unknown>][] = [
    ["Mlp", { ...sizes, dropout: 0.5 }],
    ["PatchTST", { ...sizes, layers: 1, dropout: 0.5, attentionDropout: 0.2, headDropout: 0.1 }],
  ];
  for (const [type, params] of rows) {
    const model = await build(type, params);
    const inputs = tf.tensor(randomStream(2).normal(new Float32Array(3 * 24 * 2)), [3, 24, 2]);
    const run = (training: boolean, seed: number) =>
      (model.forward({ inputs }, { training, random: randomStream(seed) }) as tf.Tensor).dataSync();
    assert.deepEqual(run(true, 1), run(true, 1), type);
    assert.notDeepEqual(run(true, 1), run(true, 2), type);
    assert.notDeepEqual(run(true, 1), run(false, 1), type);
    model.dispose?.();
  }
});

test("initial weights are functions of the seed and the variable's name", async () => {
  await useBackend("wasm");
  const params = { inputLength: 24, outputLength: 4, channels: 2 };
  const weights = async (seed: number, more = {}) =>
    (await build("PatchTST", { ...params, ...more }, seed)).parameters["embedding.weight"]
      .dataSync();
  assert.deepEqual(await weights(1), await weights(1, { layers: 1, norm: "layer" }));
  assert.notDeepEqual(await weights(1), await weights(2));
});

test("forward and backward leave no tensors behind", async () => {
  await useBackend("wasm");
  const sizes = { inputLength: 24, outputLength: 4, channels: 2 };
  for (const type of ["Mlp", "DLinear", "NLinear", "PatchTST"]) {
    const before = tf.memory().numTensors;
    const model = await build(type, type === "PatchTST" ? { ...sizes, layers: 1 } : sizes);
    const inputs = tf.ones([3, 24, 2]);
    const step = (i: number) =>
      tf.tidy(() => {
        const context = { training: true, random: randomStream(i) };
        gradients(model, () => model.forward({ inputs }, context) as tf.Tensor);
      });
    step(0);
    const { numTensors } = tf.memory();
    for (let i = 1; i <= 20; i++) step(i);
    assert.equal(tf.memory().numTensors, numTensors, type);
    inputs.dispose();
    model.dispose?.();
    assert.equal(tf.memory().numTensors, before, `${type}: after dispose`);
  }
});

test("models refuse options and inputs in one line", async () => {
  await useBackend("cpu");
  const sizes = { inputLength: 24, outputLength: 4, channels: 2 };
  const rows: [string, Record<string, unknown>, string][] = [
    ["DLinear", { ...sizes, kernel: 4 }, "model.params.kernel: must be an odd integer, received 4"],
    [
      "DLinear",
      { inputLength: 24, channels: 2 },
      "model.params.outputLength: is required: must be an integer >= 1",
    ],
    [
      "NLinear",
      { ...sizes, indvidual: true },
      `model.params.indvidual: unknown option "indvidual" for NLinear; did you mean 'individual'? ` +
      "known: inputLength, outputLength, channels, individual",
    ],
    ["PatchTST", { ...sizes, heads: 3 }, "model.params.heads: must divide width (16), received 3"],
    [
      "PatchTST",
      { ...sizes, patchLength: 25 },
      "model.params.patchLength: must be at most inputLength (24), received 25",
    ],
    [
      "PatchTST",
      { ...sizes, revin: false, affine: true },
      "model.params.affine: needs revin true, received false",
    ],
    [
      "Mlp",
      { inputSize: 2 },
      "model.params: needs 'outputSize', or 'outputLength' and 'channels', received neither",
    ],
    [
      "Mlp",
      { ...sizes, inputSize: 3 },
      "model.params: give 'inputSize' or 'inputLength', received both",
    ],
    [
      "Mlp",
      { ...sizes, hidden: [0] },
      "model.params.hidden[0]: must be an integer >= 1, received 0",
    ],
  ];
  for (const [type, params, message] of rows) {
    await assert.rejects(build(type, params), { name: "ConfigError", message });
  }
  const model = await build("DLinear", sizes);
  const context = { training: false, random: randomStream(1) };
  assert.throws(() => model.forward({ inputs: tf.ones([3, 23, 2]) }, context), {
    message: "DLinear: inputs must be [batch, 24, 2], received shape [3,23,2]",
  });
  assert.throws(() => model.forward({ x: tf.ones([3, 24, 2]) }, context), {
    message: `DLinear: the batch needs a field 'inputs', received ["x"]`,
  });
  const mlp = await build("Mlp", sizes);
  assert.throws(() => mlp.forward({ inputs: tf.ones([3, 7]) }, context), {
    message: "Mlp: inputs must be [batch, 48], received shape [3,7]",
  });
});
