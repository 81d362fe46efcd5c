import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { randomStream } from "../core/random.ts";
import * as tf from "../tensor/tf.ts";
import type { Model } from "./model.ts";
import { buildModel, type ModelConfig, registerModel } from "./registry.ts";

const context = { random: randomStream(1) };
const forward = () => tf.scalar(0);

test("buildModel() takes a registered name, a class, a function and a promise", async () => {
  await useBackend("cpu");
  class Scale implements Model {
    readonly parameters: Record<string, tf.Variable>;
    constructor(params: { readonly by: number }) {
      this.parameters = { scale: tf.variable(tf.scalar(params.by)) };
    }
    forward = forward;
  }
  registerModel("TestScale", Scale);
  const rows: ModelConfig["type"][] = [
    "TestScale",
    "testscale",
    Scale as unknown as ModelConfig["type"],
    (params) => new Scale(params as { by: number }),
    (params) => Promise.resolve(new Scale(params as { by: number })),
  ];
  for (const type of rows) {
    const model = await buildModel({ type, params: { by: 3 } }, context);
    assert.equal(model.parameters.scale.dataSync()[0], 3);
  }
});

test("buildModel() tells a factory where its params stand", async () => {
  let at = "";
  const type = (_params: unknown, _context: unknown, path: string): Model => {
    at = path;
    return { parameters: { w: tf.variable(tf.scalar(1)) }, forward };
  };
  await buildModel({ type }, context, "models[1]");
  assert.equal(at, "models[1].params");
});

test("buildModel() accepts one variable under two names", async () => {
  const shared = tf.variable(tf.scalar(1));
  const type = () => ({ parameters: { a: shared, b: shared }, forward });
  const { parameters } = await buildModel({ type }, context);
  assert.equal(parameters.a, parameters.b);
});

test("buildModel() refuses what is no model in one line", async () => {
  const w = tf.variable(tf.scalar(1));
  const frozen = tf.variable(tf.scalar(1), false);
  const rows: [unknown, string][] = [
    [{ type: "TestScael" }, "model.type: unknown model \"TestScael\"; did you mean 'TestScale'?"],
    [
      { type: 3 },
      "model.type: must be a registered name (or, in a program, a class or function), received 3",
    ],
    [{ type: "TestScale", params: 3 }, "model.params: must be an object, received 3"],
    [{ typ: "TestScale" }, `model.typ: unknown option "typ"; did you mean 'type'?`],
    [{ type: () => null }, "model: function type made no model: must be an object, received null"],
    [
      { type: () => ({ parameters: { w } }) },
      "model: function type made no model: 'forward' must be a function, received undefined",
    ],
    [
      { type: () => ({ forward }) },
      "model: function type made no model: 'parameters' must be an object of variables by name, received undefined",
    ],
    [
      { type: () => ({ forward, parameters: { w: 1 } }) },
      "model: function type made no model: 'parameters' must hold tf.Variable values, and 'w' is none, received 1",
    ],
    [
      { type: () => ({ forward, parameters: { w }, buffers: { w } }) },
      "model: function type made no model: a name must stand in 'parameters' or 'buffers', not in both",
    ],
    [
      { type: () => ({ forward, parameters: { frozen } }) },
      "model: function type made no model: 'parameters' must hold at least one trainable variable",
    ],
  ];
  for (const [config, message] of rows) {
    await assert.rejects(buildModel(config as ModelConfig, context), (error: Error) => {
      assert.equal(error.name, "ConfigError");
      assert.ok(error.message.startsWith(message), error.message);
      assert.ok(!error.message.includes("\n"));
      return true;
    });
  }
});
