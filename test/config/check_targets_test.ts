/** Targets that cannot be learnt from are refused by `create` with their place, in one line. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { IterationRunner, type RunConfig, tf } from "../../mod.ts";
import { selectBackend } from "../../src/backend/select.ts";
import { Lines, smallConfig } from "../support/runs.ts";

type Fields = Record<string, { data: number[]; shape: number[]; dtype?: string }>;

/** 12 samples of 3 classes; `more` replaces fields of one part. */
function labelled(part: string, more: Partial<Fields>, overrides: object = {}): RunConfig {
  const rows = 12;
  const fields = (): Fields => ({
    inputs: { data: Array.from({ length: rows * 2 }, (_, i) => Math.sin(i)), shape: [rows, 2] },
    targets: { data: Array.from({ length: rows }, (_, i) => i % 3), shape: [rows], dtype: "int32" },
  });
  const params: Record<string, Fields> = { train: fields(), validation: fields(), test: fields() };
  params[part] = { ...params[part], ...more } as Fields;
  return smallConfig({
    task: "classification",
    model: { type: "Mlp", params: { inputSize: 2, outputSize: 3 } },
    data: { type: "ArrayDataset", params },
    loss: "crossEntropy",
    metrics: ["accuracy"],
    ...overrides,
  });
}

/** Labels 0, 1, 2, ... with `label` in row 10. */
const labels = (label: number, dtype = "int32") => ({
  targets: {
    data: Array.from({ length: 12 }, (_, i) => i === 10 ? label : i % 3),
    shape: [12],
    dtype,
  },
});
const mask = (value: (row: number) => number) => ({
  targetsMask: { data: Array.from({ length: 12 }, (_, i) => value(i)), shape: [12] },
});

const forecast = {
  task: "forecasting",
  loss: "mse",
  model: {
    type: "Mlp",
    params: { inputSize: 2, outputSize: 2 },
  },
};
const floats = {
  targets: { data: Array.from({ length: 24 }, (_, i) => i === 13 ? 0.25 : i), shape: [12, 2] },
};

const refused: [what: string, config: RunConfig, message: RegExp][] = [
  [
    "a label beyond the classes",
    labelled("train", labels(7)),
    /^training part, field "targets", row 10: must be a class, an integer from 0 to 2, received 7$/,
  ],
  [
    "a label that is negative, in the validation part",
    labelled("validation", labels(-1)),
    /^validation part, field "targets", row 10: must be a class, .*, received -1$/,
  ],
  [
    "a label between the classes, in the test part",
    labelled("test", labels(1.5, "float32")),
    /^test part, field "targets", row 10: must be a class, .*, received 1\.5$/,
  ],
  [
    "a label beyond 32 bits",
    labelled("train", labels(2 ** 33 + 2 ** 12, "float32")),
    /^training part, field "targets", row 10: must be a class, .*, received 8589938688$/,
  ],
  [
    "an integer field with a fraction",
    labelled("test", labels(1.5)),
    /^data\.params\.test: field "targets", row 10: must be a 32-bit integer, received 1\.5$/,
  ],
  [
    "a mask of zeros",
    labelled("validation", mask(() => 0)),
    /^validation part: no target counts, targetsMask is 0 everywhere$/,
  ],
  [
    "labels that are all left out",
    labelled("train", { targets: { data: Array(12).fill(-100), shape: [12], dtype: "int32" } }),
    /^training part: no target counts, the loss leaves out every label$/,
  ],
  [
    "accuracy of numbers that are no labels",
    labelled("train", floats, { ...forecast, metrics: ["mse", "accuracy"] }),
    /^metrics: accuracy needs labels, which are integers; training part, field "targets", row 6 holds 0\.25$/,
  ],
  [
    "accuracy of forecasts",
    smallConfig({ metrics: ["accuracy"] }),
    /^metrics: accuracy needs labels, which are integers; training part, field "targets", row 0 holds /,
  ],
];

for (const [what, config, message] of refused) {
  test(`create refuses ${what}`, async () => {
    await selectBackend("cpu");
    const tensors = tf.memory().numTensors;
    await assert.rejects(IterationRunner.create(config, { output: new Lines() }), (error) => {
      assert.match((error as Error).name, /^(Config|Data)Error$/);
      assert.match((error as Error).message, message);
      return true;
    });
    assert.equal(tf.memory().numTensors, tensors);
  });
}

const taken: [what: string, config: RunConfig][] = [
  ["labels as floats", labelled("train", labels(1, "float32"))],
  ["the label that the loss leaves out", labelled("train", labels(-100))],
  [
    "an ignoreIndex of one's own",
    labelled("train", labels(9), {
      loss: { type: "crossEntropy", params: { ignore_index: 9 } },
    }),
  ],
  ["any label under a mask", labelled("train", { ...labels(7), ...mask((i) => i === 10 ? 0 : 1) })],
  [
    "any label under a mask that is broadcast",
    labelled("train", {
      inputs: { data: Array(48).fill(0.5), shape: [12, 2, 2] },
      targets: {
        data: Array.from({ length: 24 }, (_, i) => i === 20 || i === 21 ? 7 : i % 3),
        shape: [12, 2],
        dtype: "int32",
      },
      targetsMask: { data: Array.from({ length: 12 }, (_, i) => i === 10 ? 0 : 1), shape: [12, 1] },
    }, { model: { type: perStep }, validation: false, test: false }),
  ],
  [
    "numbers that are no labels, without accuracy",
    labelled("train", floats, { ...forecast, metrics: ["mse"], validation: false, test: false }),
  ],
];

/** Scores [batch, steps, 3] of inputs [batch, steps, 2]. */
function perStep() {
  const weight = tf.tidy(() => tf.variable(tf.ones([1, 2, 3])));
  return {
    parameters: { weight },
    forward: ({ inputs }: Record<string, tf.Tensor>) =>
      tf.matMul(inputs, tf.tile(weight, [inputs.shape[0], 1, 1])),
  };
}

test("create takes targets that count as they should", async () => {
  for (const [what, config] of taken) {
    const run = await IterationRunner.create(config, { output: new Lines() }).catch((error) => {
      throw new Error(`${what}: ${error.message}`);
    });
    run.dispose();
  }
});
