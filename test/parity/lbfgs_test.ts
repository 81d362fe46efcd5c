/** L-BFGS on Rosenbrock's function, against torch. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { buildOptimizer } from "../../src/optim/builder.ts";
import type { HostClosure, Optimizer, SavedState } from "../../src/optim/optimizer.ts";
import * as tf from "../../src/tensor/tf.ts";
import { useBackend } from "../support/backend.ts";
import { assertClose } from "../support/close.ts";
import { lbfgsCases, lbfgsRun, rosenbrockLoss } from "../support/rosenbrock.ts";

for (const backend of ["cpu", "wasm"] as const) {
  for (const row of lbfgsCases) {
    const whom = `LBFGS ${JSON.stringify(row.params)}`;
    test(`${whom} follows torch in float64 with a closure in double precision on ${backend}`, async () => {
      await useBackend(backend);
      for await (const { loss, x, counts, expected } of lbfgsRun(row, "host")) {
        assert.deepEqual(counts, [expected.funcEvals, expected.nIter]);
        assertClose([loss], [expected.loss], 1e-6, "loss");
        assertClose(x, expected.x, 1e-6, "x");
      }
    });

    // torch's own float32 is up to 6.2e-5 from its float64 here, ours up to 1.8e-5.
    test(`${whom} with tensors is nearer to torch in float64 than torch in float32 on ${backend}`, async () => {
      await useBackend(backend);
      for await (const { x, expected } of lbfgsRun(row, "tensors")) {
        assertClose(x, expected.x, 2.5e-5, "x");
      }
    });
  }

  test(`LBFGS finds the minimum from float32 losses and leaks nothing on ${backend}`, async () => {
    await useBackend(backend);
    const params = { line_search_fn: "strong_wolfe" };
    for (const form of ["loss", "gradients", "promise"] as const) {
      const x = tf.variable(tf.tensor([-1.2, 1, -0.5, 0.8, 1.5]));
      const optimizer = buildOptimizer({ type: "LBFGS", params }, { x });
      const gradients = () => tf.variableGrads(() => rosenbrockLoss(x));
      const closure = form === "loss"
        ? () => rosenbrockLoss(x)
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
  const { params, x0 } = lbfgsCases[2];
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
    await whole.optimizer.step(() => rosenbrockLoss(whole.x));
    for (const { x, optimizer } of [byIndex, byName, byWeights]) {
      await optimizer.step(() => rosenbrockLoss(x));
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
  const sgd = buildOptimizer({ type: "SGD" }, { a });
  for (const optimizer of [fresh, sgd]) {
    await assert.rejects(
      optimizer.step(undefined as never),
      /^ConfigError: closure: must be a function that computes the loss, received undefined$/,
    );
  }
  const rows: [Optimizer, HostClosure, RegExp][] = [
    [
      sgd,
      ({ a }) => ({ value: 0, grads: { a } }),
      /closure: takes a point in double precision, wh/,
    ],
    [
      sgd,
      () => ({ value: 0, grads: { a: new Float64Array(2) } }),
      /^ConfigError: gradients\.a: must be a tensor, received a Float64Array of length 2$/,
    ],
    [
      fresh,
      () => ({ value: 0, grads: { a: new Float64Array(3) } }),
      /^ConfigError: closure: gradient of a must have 2 elements, received 3$/,
    ],
    [
      fresh,
      () => ({ value: 0, grads: { c: new Float64Array(3) } }),
      /^ConfigError: closure: gives a gradient of "c", which is no parameter$/,
    ],
  ];
  for (const [optimizer, closure, message] of rows) {
    await assert.rejects(optimizer.step(closure), message);
  }
  assert.throws(
    () => buildOptimizer({ type: "LBFGS", groups: [{ match: "a" }] }, { a, b }),
    /optimizer\.groups: has no meaning for LBFGS, which takes one group, as torch's does$/,
  );
});
