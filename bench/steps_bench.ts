/**
 * One training step (forward, loss, gradients, AdamW) of the reference workloads `mlp` (64 -> 128
 * -> 128 -> 10, batch 64) and `dlinear` (336 -> 96, 7 channels, batch 32), on the wasm backend.
 * "plain" is the same step in tfjs' own ops, with tf.train.adam.
 */
import { buildOptimizer, type Model, randomStream, selectBackend, tf } from "../mod.ts";
import { DLinear, Mlp } from "../src/model/models.ts";

interface Workload {
  readonly model: Model;
  readonly inputs: tf.Tensor;
  readonly targets: tf.Tensor;
  /** The forward pass without the library. */
  readonly plain: (inputs: tf.Tensor, variables: Record<string, tf.Variable>) => tf.Tensor;
}

const context = { random: randomStream(0) };

function draw(label: string, shape: number[]): tf.Tensor {
  const values = randomStream(0, label).normal(new Float32Array(tf.util.sizeFromShape(shape)));
  return tf.tensor(values, shape);
}

function mlp(): Workload {
  return {
    model: new Mlp({ inputSize: 64, hidden: [128, 128], outputSize: 10 }, context),
    inputs: draw("mlp x", [64, 64]),
    targets: draw("mlp y", [64, 10]),
    plain: (x, v) => {
      for (let i = 0; i < 3; i++) {
        x = tf.add(tf.matMul(x, v[`layers.${i}.weight`]), v[`layers.${i}.bias`]);
        if (i < 2) x = tf.relu(x);
      }
      return x;
    },
  };
}

function dlinear(): Workload {
  const kernel = 25, half = 12, length = 336, channels = 7, batch = 32;
  return {
    model: new DLinear({ inputLength: length, outputLength: 96, channels }, context),
    inputs: draw("dlinear x", [batch, length, channels]),
    targets: draw("dlinear y", [batch, 96, channels]),
    plain: (x, v) => {
      const rows = tf.reshape(tf.transpose(x, [0, 2, 1]), [batch * channels, length]);
      const first = tf.tile(tf.slice(rows, [0, 0], [-1, 1]), [1, half]);
      const last = tf.tile(tf.slice(rows, [0, length - 1], [-1, 1]), [1, half]);
      const padded = tf.reshape(tf.concat([first, rows, last], 1), [-1, 1, length + 2 * half, 1]);
      const trend = tf.reshape(
        tf.avgPool(padded as tf.Tensor4D, [1, kernel], 1, "valid"),
        [batch * channels, length],
      );
      const linear = (name: string, y: tf.Tensor) =>
        tf.add(tf.matMul(y, v[`${name}.weight`]), v[`${name}.bias`]);
      const out = tf.add(linear("seasonal", tf.sub(rows, trend)), linear("trend", trend));
      return tf.transpose(tf.reshape(out, [batch, channels, 96]), [0, 2, 1]);
    },
  };
}

await selectBackend("wasm");

for (const [group, make] of Object.entries({ mlp, dlinear })) {
  const { model, inputs, targets, plain } = make();
  const variables = Object.values(model.parameters);
  const ours = () => model.forward({ inputs }, { training: true, ...context }) as tf.Tensor;
  const theirs = () => plain(inputs, model.parameters);
  const [difference] = await tf.tidy(() => tf.max(tf.abs(tf.sub(ours(), theirs())))).data();
  if (!(difference < 1e-4)) throw new Error(`${group}: the two forward passes differ`);
  const adamw = buildOptimizer({ type: "AdamW", params: { lr: 1e-3 } }, model.parameters);
  const adam = tf.train.adam(1e-3);
  const step = async (optimizer: tf.Optimizer, forward: () => tf.Tensor): Promise<void> => {
    const { value, grads } = tf.variableGrads(
      () => tf.mean(tf.square(tf.sub(forward(), targets))) as tf.Scalar,
      variables,
    );
    optimizer.applyGradients(grads);
    await value.data();
    tf.dispose([value, grads]);
  };
  Deno.bench({ name: "plain", group, baseline: true }, () => step(adam, theirs));
  Deno.bench({ name: "Downhill", group }, () => step(adamw, ours));
}
