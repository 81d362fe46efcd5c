import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as core from "@tensorflow/tfjs-core";
import { selectBackend } from "../backend/select.ts";
import * as tf from "./tf.ts";

await selectBackend("cpu");

type Loss = (w: tf.Variable, b: tf.Variable) => tf.Scalar;

const x = tf.tensor2d(Float32Array.from({ length: 12 }, (_, i) => Math.sin(i)), [4, 3]);
const sum = (y: tf.Tensor): tf.Scalar => tf.sum(y) as tf.Scalar;

/** Hands on what it is given, the same tensor for both inputs. */
const addAlike = tf.customGrad((a, b) => ({
  value: tf.add(a as tf.Tensor, b as tf.Tensor),
  gradFunc: (dy: tf.Tensor) => [dy, dy],
}));
const kept: tf.Tensor[] = [];
/** A gradient that outlives the walk: it is kept. */
const scaled = tf.customGrad((a) => ({
  value: tf.mul(a as tf.Tensor, 3),
  gradFunc: (dy: tf.Tensor) => {
    kept.push(tf.keep(tf.mul(dy, 3)));
    return kept[kept.length - 1];
  },
}));

const losses: Record<string, Loss> = {
  "a product, a sum and a tanh": (w, b) => sum(tf.tanh(tf.add(tf.matMul(x, w as tf.Tensor2D), b))),
  "a tensor that is used by several": (w, b) => {
    const y = tf.matMul(x, w as tf.Tensor2D);
    return sum(tf.add(tf.mul(y, y), tf.sub(tf.mul(y, b), tf.exp(y))));
  },
  "one of several outputs": (w, b) => {
    const [, y] = tf.split(tf.mul(w, b), [1, 2], 0);
    return sum(tf.square(y));
  },
  "gradients that are the gradient of the output": (w, b) => {
    const y = addAlike(tf.mul(w, 2), tf.mul(b, w));
    return sum(tf.mul(addAlike(y, y), y));
  },
  "a gradient that is kept": (w, b) => sum(tf.mul(scaled(tf.square(w)), b)),
  "a loss that is a part of another's way": (w, b) => {
    const loss = sum(tf.mul(w, b));
    tf.exp(loss);
    return loss;
  },
  "a gradient inside of the loss": (w, b) => {
    const slope = tf.grad((v) => sum(tf.mul(tf.square(v), v)))(w);
    return sum(tf.mul(slope, b));
  },
  "a variable without a part in it": (w) => sum(tf.sqrt(tf.abs(w))),
};

for (const [what, loss] of Object.entries(losses)) {
  test(`variableGrads gives the bits of tfjs with ${what}, and leaves nothing`, () => {
    const w = tf.variable(tf.tensor2d([0.3, -0.5, 0.7, 1.1, -1.3, 1.7], [3, 2]));
    const b = tf.variable(tf.tensor1d([0.2, -0.4]));
    const read = ({ value, grads }: ReturnType<typeof tf.variableGrads>) => {
      const bits = [
        [...value.dataSync()],
        ...[w, b].map(({ name }) => grads[name] && [...grads[name].dataSync()]),
      ];
      tf.dispose([value, grads]);
      return bits;
    };
    const before = tf.memory().numTensors;
    const ours = read(tf.variableGrads(() => loss(w, b), [w, b]));
    assert.ok(kept.every(({ isDisposed }) => !isDisposed));
    tf.dispose(kept.splice(0));
    assert.equal(tf.memory().numTensors, before);
    assert.deepEqual(ours, read(core.variableGrads(() => loss(w, b), [w, b])));
    tf.dispose([...kept.splice(0), w, b]);
  });
}

test("variableGrads leaves what a gradient function keeps, and what it looks at again", () => {
  const w = tf.variable(tf.tensor1d([1, 2]));
  const before = tf.memory().numTensors;
  let spy: tf.Tensor | undefined, two: tf.Tensor | undefined;
  const f = tf.customGrad((a) => ({
    value: tf.mul(a as tf.Tensor, 2),
    gradFunc: (dy: tf.Tensor) => {
      spy ??= tf.keep(dy);
      two ??= tf.scalar(2);
      return tf.mul(dy, two);
    },
  }));
  const { value, grads } = tf.variableGrads(() => sum(f(f(tf.square(w)))), [w]);
  assert.deepEqual([...grads[w.name].dataSync()], [8, 16]);
  assert.deepEqual([...spy!.dataSync()], [1, 1]);
  assert.ok(two!.isDisposed);
  tf.dispose([value, grads, spy!]);
  assert.equal(tf.memory().numTensors, before);
  w.dispose();
});

test("variableGrads has the gradient of a function that hands on its input", () => {
  const w = tf.variable(tf.tensor1d([1, 2]));
  const reversed = tf.customGrad((a) => ({
    value: a as tf.Tensor,
    gradFunc: (dy: tf.Tensor) => tf.mul(dy, -2),
  }));
  const gradient = (loss: () => tf.Scalar) => {
    const { grads } = tf.tidy(() => tf.variableGrads(loss, [w]));
    return [...grads[w.name].dataSync()];
  };
  assert.deepEqual(gradient(() => sum(tf.mul(reversed(tf.square(w)), 3))), [-12, -24]);
  assert.deepEqual(gradient(() => sum(tf.mul(reversed(w), 3))), [-6, -6]);
  w.dispose();
});

test("variableGrads takes all trainable variables, and gives null for one that is not", () => {
  const [a, b] = [tf.variable(tf.scalar(3)), tf.variable(tf.scalar(5), false)];
  const loss = () => tf.mul(a, b) as tf.Scalar;
  assert.deepEqual(Object.keys(tf.variableGrads(loss).grads), [a.name]);
  const { grads } = tf.variableGrads(loss, [b, a]);
  assert.deepEqual([grads[a.name].dataSync()[0], grads[b.name]], [5, null]);
  // The loss may be a variable itself.
  assert.equal(
    tf.variableGrads(() => a as tf.Tensor as tf.Scalar, [a]).grads[a.name].dataSync()[0],
    1,
  );
  tf.dispose([a, b]);
});

test("variableGrads frees what is used up while it walks back", () => {
  const w = tf.variable(tf.ones([1000]));
  const held = (variableGrads: typeof tf.variableGrads): number => {
    let bytes = 0;
    const first = tf.customGrad((a) => ({
      value: tf.clone(a as tf.Tensor),
      gradFunc: (dy: tf.Tensor) => {
        bytes = tf.memory().numBytes;
        return tf.clone(dy);
      },
    }));
    tf.tidy(() => {
      variableGrads(() => {
        let y = first(w) as tf.Tensor;
        for (let i = 0; i < 10; i++) y = tf.tanh(y);
        return sum(y);
      }, [w]);
    });
    return bytes;
  };
  const before = tf.memory().numBytes;
  // The gradient of the sum and of the first operation; tfjs keeps those of all, and all outputs.
  assert.ok(held(tf.variableGrads) - before < 4 * 4000);
  assert.ok(held(core.variableGrads) - before > 10 * 4000);
  assert.equal(tf.memory().numBytes, before);
  w.dispose();
});

const w = tf.variable(tf.ones([2]));
const wrong = (gradFunc: (dy: tf.Tensor) => tf.Tensor) => () =>
  sum(tf.customGrad((a) => ({ value: tf.square(a as tf.Tensor), gradFunc }))(w));
const faults: [what: string, loss: () => unknown, message: RegExp][] = [
  ["no scalar", () => tf.square(w), /^variableGrads: the loss must be a scalar .* shape \[2\]$/],
  ["no tensor", () => 3, /^variableGrads: the loss must be a scalar tensor, received 3$/],
  ["no connection", () => tf.scalar(1), /^variableGrads: cannot find a connection from any /],
  [
    "another shape",
    wrong((dy) => tf.sum(dy)),
    /input 0 must be float32 of shape \[2\], .* of \[\]$/,
  ],
  ["another type", wrong((dy) => tf.cast(dy, "int32")), /float32 of shape \[2\], received int32/],
  ["a throw", () => {
    tf.square(w);
    throw new Error("thrown");
  }, /^thrown$/],
  [
    "a throw in the gradient",
    wrong(() => {
      throw new Error("thrown");
    }),
    /^thrown$/,
  ],
];
for (const [what, loss, message] of faults) {
  test(`variableGrads refuses ${what} and leaves nothing`, () => {
    const before = tf.memory().numTensors;
    const call = () => tf.variableGrads(loss as () => tf.Scalar, [w]);
    assert.throws(call, (error) => message.test((error as Error).message));
    assert.equal(tf.memory().numTensors, before);
    // And the next one works.
    const { value, grads } = tf.variableGrads(() => sum(tf.square(w)), [w]);
    assert.deepEqual([...grads[w.name].dataSync()], [2, 2]);
    tf.dispose([value, grads]);
  });
}

test("variableGrads refuses what is no function, no variable and nothing to train", () => {
  const fixed = tf.variable(tf.scalar(1), false);
  const call = (loss: unknown, variables: unknown) => () =>
    tf.variableGrads(loss as () => tf.Scalar, variables as tf.Variable[]);
  assert.throws(call(3, [w]), /the loss must be a function, received number/);
  assert.throws(call(() => fixed, [1]), /variables must be an array of variables/);
  assert.throws(call(() => fixed, [fixed]), /none of the 1 variables is trainable/);
  fixed.dispose();
});
