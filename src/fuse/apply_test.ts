import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { assertClose } from "../../test/support/close.ts";
import * as tf from "../tensor/tf.ts";
import { applyUpdate, evaluate } from "./apply.ts";
import {
  abs,
  add,
  addcdiv,
  addcmul,
  addScaled,
  div,
  eq,
  type Expression,
  ge,
  gradient,
  gt,
  le,
  lerp,
  lt,
  max,
  min,
  mul,
  neg,
  param,
  scalar,
  select,
  sign,
  slot,
  sqrt,
  sub,
} from "./expression.ts";

const p0 = [1.5, -2, 0, 4];
const g0 = [0.5, -0.25, 3, -4];
const s0 = [2, 0.5, 9, 0.25];
const scalars = { lr: 0.1, w: 0.75 };

/** Expression and its value for one element in double precision. */
const rows: [string, Expression, (p: number, g: number, s: number) => number][] = [
  ["add, mul", add(param, mul(gradient, slot("s"))), (p, g, s) => p + g * s],
  ["sub, div", sub(param, div(gradient, slot("s"))), (p, g, s) => p - g / s],
  ["sqrt, abs", mul(sqrt(slot("s")), abs(param)), (p, _, s) => Math.sqrt(s) * Math.abs(p)],
  ["sign, neg", add(sign(gradient), neg(param)), (p, g) => Math.sign(g) - p],
  ["min, max", min(max(param, gradient), 2), (p, g) => Math.min(Math.max(p, g), 2)],
  ["lt", select(lt(param, gradient), param, 7), (p, g) => p < g ? p : 7],
  ["le", select(le(param, 0), 1, gradient), (p, g) => p <= 0 ? 1 : g],
  ["gt", select(gt(param, gradient), slot("s"), param), (p, g, s) => p > g ? s : p],
  ["ge", select(ge(gradient, 0.5), param, gradient), (p, g) => g >= 0.5 ? p : g],
  ["eq", select(eq(param, 0), slot("s"), param), (p, _, s) => p === 0 ? s : p],
  ["lerp, near", lerp(param, gradient, scalar("lr")), (p, g) => p + 0.1 * (g - p)],
  ["lerp, far", lerp(param, gradient, scalar("w")), (p, g) => g - (g - p) * 0.25],
  ["addScaled", addScaled(param, gradient, scalar("lr")), (p, g) => p + 0.1 * g],
  ["addcmul", addcmul(param, gradient, slot("s"), 2), (p, g, s) => p + 2 * g * s],
  ["addcdiv", addcdiv(param, gradient, slot("s"), -2), (p, g, s) => p - 2 * g / s],
  ["a constant", sub(scalar("lr"), 1), () => -0.9],
  ["a leaf", slot("s"), (_p, _g, s) => s],
];

for (const backend of ["cpu", "wasm"] as const) {
  test(`applyUpdate() computes every operation on ${backend}`, async () => {
    await useBackend(backend);
    for (const [title, expression, expected] of rows) {
      const variable = tf.variable(tf.tensor(p0));
      const slots = { s: tf.variable(tf.tensor(s0)) };
      const grad = tf.tensor(g0);
      applyUpdate({ param: expression }, { param: variable, gradient: grad, slots, scalars });
      const values = p0.map((p, i) => expected(p, g0[i], s0[i]));
      assertClose(variable.dataSync(), values, 1e-7, title);
      assert.deepEqual([...slots.s.dataSync()], s0, title);
      tf.dispose([variable, slots, grad]);
    }
  });

  test(`applyUpdate() reads old values only and leaves clones alone on ${backend}`, async () => {
    await useBackend(backend);
    const variable = tf.variable(tf.tensor(p0));
    const slots = { s: tf.variable(tf.tensor(s0)) };
    const kept = tf.clone(variable);
    const view = tf.reshape(slots.s, [2, 2]);
    const grad = tf.tensor(g0);
    const before = tf.memory().numTensors;
    const swap = { param: slot("s"), slots: { s: param } };
    applyUpdate(swap, { param: variable, gradient: grad, slots, scalars: {} });
    assert.deepEqual([...variable.dataSync()], s0);
    assert.deepEqual([...slots.s.dataSync()], p0);
    assert.deepEqual([...kept.dataSync()], p0);
    assert.deepEqual([...view.dataSync()], s0);
    assert.equal(tf.memory().numTensors, before);
    tf.dispose([variable, slots, kept, view, grad]);
  });
}

test("applyUpdate() folds scalars in double precision and scales the gradient first", async () => {
  await useBackend("cpu");
  const variable = tf.variable(tf.tensor([0, 0]));
  const grad = tf.tensor([1, 2]);
  const operands = { param: variable, gradient: grad, slots: {}, scalars: { beta: 1 - 1e-10 } };
  const tiny = mul(sub(1, scalar("beta")), gradient);
  applyUpdate({ param: tiny }, { ...operands, scale: 0.5 });
  assertClose([...variable.dataSync()].map((x) => x * 1e10), [0.5, 1], 1e-6);
  const scale = tf.scalar(3);
  applyUpdate({ param: gradient }, { ...operands, scale });
  assert.deepEqual([...variable.dataSync()], [3, 6]);
  assert.deepEqual([...grad.dataSync()], [1, 2]);
  tf.dispose([variable, grad, scale]);
});

test("applyUpdate() works in place on wasm data of its own, also when the memory grows", async () => {
  await useBackend("wasm");
  const initial = tf.tensor([1, 2, 3]);
  const variable = tf.variable(initial);
  const grad = tf.tensor([1, 1, 1]);
  const step = () =>
    applyUpdate({ param: sub(param, gradient) }, {
      ...{ param: variable, gradient: grad, slots: {}, scalars: {} },
    });
  step();
  assert.notEqual(variable.dataId, initial.dataId);
  const { dataId } = variable;
  const large = tf.zeros([30 << 20]);
  step();
  assert.equal(variable.dataId, dataId);
  assert.deepEqual([...variable.dataSync()], [-1, 0, 1]);
  assert.deepEqual([...initial.dataSync()], [1, 2, 3]);
  tf.dispose([initial, variable, grad, large]);
});

test("applyUpdate() follows tensors to another backend and to a new instance of one", async () => {
  const variable = tf.variable(tf.tensor([4, 5]));
  const values: number[][] = [];
  for (const backend of ["cpu", "wasm", "new wasm", "cpu"]) {
    if (backend === "new wasm") {
      await useBackend("cpu");
      variable.assign(tf.tidy(() => tf.add(variable, 0)));
      const factory = tf.findBackendFactory("wasm");
      tf.removeBackend("wasm");
      tf.registerBackend("wasm", factory);
      await useBackend("wasm");
    } else {
      await useBackend(backend as "cpu" | "wasm");
    }
    const grad = tf.tensor([1, 0.5]);
    const operands = { param: variable, gradient: grad, slots: {}, scalars: { lr: 2 } };
    applyUpdate({ param: sub(param, mul(scalar("lr"), gradient)) }, operands);
    values.push([...variable.dataSync()]);
    grad.dispose();
  }
  assert.deepEqual(values, [[2, 4], [0, 3], [-2, 2], [-4, 1]]);
  variable.dispose();
});

test("applyUpdate() leaves everything alone where its guard is not finite", async () => {
  for (const backend of ["cpu", "wasm"] as const) {
    await useBackend(backend);
    const variable = tf.variable(tf.tensor([4, 5]));
    const grad = tf.tensor([1, 1]);
    for (const [value, expected] of [[NaN, 4], [Infinity, 4], [1, 3], [-Infinity, 3], [0, 2]]) {
      const guard = tf.tensor([1, value]);
      const operands = { param: variable, gradient: grad, slots: {}, scalars: {}, guard };
      applyUpdate({ param: sub(param, gradient) }, operands);
      assert.deepEqual([...variable.dataSync()], [expected, expected + 1]);
      guard.dispose();
    }
    tf.dispose([variable, grad]);
  }
});

test("evaluate() gives the value of an expression as a new tensor", async () => {
  for (const backend of ["cpu", "wasm"] as const) {
    await useBackend(backend);
    const variable = tf.variable(tf.tensor([[4, 5]]));
    const grad = tf.tensor([[1, 2]]);
    const before = tf.memory().numTensors;
    const operands = { param: variable, gradient: grad, slots: {}, scalars: {}, scale: 2 };
    const value = tf.tidy(() => evaluate(mul(param, gradient), operands));
    assert.deepEqual(value.arraySync(), [[8, 20]]);
    assert.equal(tf.memory().numTensors, before + 1);
    tf.dispose([value, variable, grad]);
  }
});

test("applyUpdate() in place reaches products and convolutions, which keep packed weights", async () => {
  await useBackend("wasm");
  const weights = [[3, 2], [2], [1, 1, 2, 3], [1, 1, 2, 1]].map((shape) =>
    tf.tidy(() => tf.variable(tf.fill(shape, 2)))
  );
  const [dense, bias, kernel, depthwise] = weights;
  const x = tf.ones([1, 3]) as tf.Tensor2D;
  const image = tf.ones([1, 2, 2, 2]) as tf.Tensor4D;
  const results = () =>
    tf.tidy(() =>
      [
        tf.matMul(x, dense as tf.Tensor2D),
        tf.fused.matMul({ a: x, b: dense as tf.Tensor2D, bias }),
        tf.conv2d(image, kernel as tf.Tensor4D, 1, "valid"),
        tf.fused.conv2d({
          ...{ x: image, filter: tf.reshape(kernel, [1, 1, 2, 3]) as tf.Tensor4D },
          ...{ strides: 1, pad: "valid" as const },
        }),
        tf.depthwiseConv2d(image, depthwise as tf.Tensor4D, 1, "valid"),
      ].map((tensor) => tensor.dataSync()[0])
    );
  assert.deepEqual(results(), [6, 8, 4, 4, 2]);
  for (const expected of [[3, 4, 2, 2, 1], [1.5, 2, 1, 1, 0.5]]) {
    for (const variable of weights) {
      applyUpdate({ param: mul(param, 0.5) }, {
        ...{ param: variable, gradient: variable, slots: {}, scalars: {} },
      });
    }
    assert.deepEqual(results(), expected);
  }
  tf.dispose([...weights, x, image]);
});
