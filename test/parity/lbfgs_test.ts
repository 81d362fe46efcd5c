/** L-BFGS on Rosenbrock's function, against torch. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { buildOptimizer } from "../../src/optim/builder.ts";
import type { Lbfgs } from "../../src/optim/lbfgs.ts";
import type { SavedState } from "../../src/optim/optimizer.ts";
import * as tf from "../../src/tensor/tf.ts";
import { useBackend } from "../support/backend.ts";
import { assertClose } from "../support/close.ts";
import { readFixture } from "../support/fixture.ts";

interface Case {
  params: Record<string, unknown>;
  x0: number[];
  steps: { loss: number; x: number[]; funcEvals: number; nIter: number }[];
}

const { lbfgs } = readFixture<{ lbfgs: Case[] }>("torch/optimizers.json");

/** The sum of 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2 and its gradient, in double precision. */
function rosenbrock(x: Float64Array | number[]): { value: number; gradient: Float64Array } {
  const gradient = new Float64Array(x.length);
  let value = 0;
  for (let i = 0; i + 1 < x.length; i++) {
    const r = x[i + 1] - x[i] * x[i];
    value += 100 * r * r + (1 - x[i]) ** 2;
    gradient[i] += -400 * r * x[i] - 2 * (1 - x[i]);
    gradient[i + 1] += 200 * r;
  }
  return { value, gradient };
}

/** The same in float32 on the device. */
function loss(x: tf.Variable): tf.Scalar {
  const a = tf.slice(x, 0, x.size - 1), b = tf.slice(x, 1, x.size - 1);
  return tf.add(
    tf.sum(tf.mul(100, tf.square(tf.sub(b, tf.square(a))))),
    tf.sum(tf.square(tf.sub(1, a))),
  );
}

for (const backend of ["cpu", "wasm"] as const) {
  for (const { params, x0, steps } of lbfgs) {
    test(`LBFGS ${JSON.stringify(params)} follows torch on ${backend}`, async () => {
      await useBackend(backend);
      // The parameter is the distance from a start that float32 cannot hold.
      const x = tf.variable(tf.zeros([x0.length]));
      const optimizer = buildOptimizer({ type: "LBFGS", params }, { x }) as Lbfgs;
      const at = (distance: Float64Array) => distance.map((value, i) => x0[i] + value);
      for (const step of steps) {
        const first = await optimizer.step((point) => {
          const { value, gradient } = rosenbrock(at(point.x));
          return { value, grads: { x: gradient } };
        });
        const { func_evals, n_iter } = optimizer.stateDict().state[0];
        assert.deepEqual([func_evals, n_iter], [step.funcEvals, step.nIter]);
        assertClose([first], [step.loss], 1e-6, "loss");
        assertClose(at(Float64Array.from(x.dataSync())), step.x, 1e-6, "x");
      }
      optimizer.dispose();
      x.dispose();
    });
  }

  test(`LBFGS finds the minimum from float32 losses and leaks nothing on ${backend}`, async () => {
    await useBackend(backend);
    const params = { line_search_fn: "strong_wolfe" };
    for (const form of ["loss", "gradients", "promise"] as const) {
      const x = tf.variable(tf.tensor([-1.2, 1, -0.5, 0.8, 1.5]));
      const optimizer = buildOptimizer({ type: "LBFGS", params }, { x });
      const gradients = () => tf.variableGrads(() => loss(x));
      const closure = form === "loss"
        ? () => loss(x)
        : form === "gradients"
        ? gradients
        : () => Promise.resolve().then(gradients);
      const losses = [await optimizer.step(closure)];
      const { numTensors } = tf.memory();
      for (let i = 0; i < 3; i++) losses.push(await optimizer.step(closure));
      assert.equal(tf.memory().numTensors, numTensors, form);
      assertClose(x.dataSync(), [1, 1, 1, 1, 1], 1e-4, form);
      assert.ok(losses[0] > 355 && losses[3] < 1e-7, String(losses));
      optimizer.dispose();
      x.dispose();
    }
  });
}

test("LBFGS saved at every step and loaded goes on as if not stopped", async () => {
  await useBackend("cpu");
  const { params, x0 } = lbfgs[2];
  const make = (start: ArrayLike<number>) => {
    const x = tf.variable(tf.tensor(Float32Array.from(start)));
    return { x, optimizer: buildOptimizer({ type: "LBFGS", params }, { x }) };
  };
  const whole = make(x0);
  for (let stop = 0; stop < 4; stop++) {
    const values = [...whole.x.dataSync()];
    const host = Object.fromEntries(
      Object.entries(whole.optimizer.stateDict().state[0] ?? {}).map(([key, value]) => [
        key,
        typeof value === "number" ? value : { data: [...value.dataSync()], shape: value.shape },
      ]),
    );
    const { param_groups } = whole.optimizer.stateDict();
    const saved = JSON.parse(
      JSON.stringify({ state: stop === 0 ? {} : { 0: host }, param_groups }),
    );
    const [byIndex, byName, byWeights] = [make(values), make(values), make(values)];
    byIndex.optimizer.loadStateDict(saved as SavedState);
    byName.optimizer.importState(whole.optimizer.exportState());
    await byWeights.optimizer.setWeights(await whole.optimizer.getWeights());
    await whole.optimizer.step(() => loss(whole.x));
    for (const { x, optimizer } of [byIndex, byName, byWeights]) {
      await optimizer.step(() => loss(x));
      assert.deepEqual(x.dataSync(), whole.x.dataSync(), `after ${stop} steps`);
      optimizer.dispose();
    }
  }
});

test("LBFGS skips absent gradients, maximizes, and refuses what it cannot do", async () => {
  await useBackend("cpu");
  const a = tf.variable(tf.tensor([3, -2])), b = tf.variable(tf.tensor([5]));
  const optimizer = buildOptimizer({ type: "LBFGS", params: { maximize: true } }, { a, b });
  const value = await optimizer.step(() => ({
    value: -13,
    grads: { a: tf.tidy(() => tf.mul(-2, a)) },
  }));
  assert.equal(value, -13);
  for (let i = 0; i < 3; i++) await optimizer.step(() => tf.neg(tf.sum(tf.square(a))) as tf.Scalar);
  assertClose(a.dataSync(), [0, 0], 1e-5);
  assert.deepEqual([...b.dataSync()], [5]);
  const needed = /^ConfigError: optimizer: LBFGS asks for the loss several times: await step/;
  assert.throws(() => optimizer.applyGradients({}), needed);
  assert.throws(() => optimizer.minimize(() => tf.scalar(0)), needed);
  const fresh = buildOptimizer({ type: "LBFGS", noDecay: "none", groups: [] }, { a });
  await assert.rejects(fresh.step(() => 3 as never), /closure: must return the loss as a scalar/);
  assert.throws(
    () => buildOptimizer({ type: "LBFGS", groups: [{ match: "a" }] }, { a, b }),
    /optimizer\.groups: has no meaning for LBFGS, which takes one group, as torch's does$/,
  );
});
