/**
 * A training loop of one's own: only the optimizer, the scheduler and the clipping are the library's.
 *
 *     deno run -A examples/custom_loop/train.ts
 *
 * Outside this repository the imports are `from "downhill"` (npm) or `"@downhill/downhill"` (JSR).
 */
import { buildOptimizer, buildScheduler, clipGradNorm, selectBackend, tf } from "../../mod.ts";

/** Fits sin(3 x) on [-1, 1] with a small network; returns the loss of every step. */
export async function train(steps: number, print: (line: string) => void): Promise<number[]> {
  const x = tf.tensor2d(Array.from({ length: 64 }, (_, i) => [2 * i / 63 - 1]));
  const y = tf.tidy(() => tf.sin(tf.mul(x, 3)));
  const parameters: Record<string, tf.Variable> = tf.tidy(() => ({
    "hidden.weight": tf.variable(tf.reshape(tf.linspace(-4, 4, 32), [1, 32])),
    "hidden.bias": tf.variable(tf.linspace(-2, 2, 32)),
    "out.weight": tf.variable(tf.zeros([32, 1])),
    "out.bias": tf.variable(tf.zeros([1])),
  }));
  const loss = () => {
    const { "hidden.weight": w1, "hidden.bias": b1, "out.weight": w2, "out.bias": b2 } = parameters;
    const hidden = tf.tanh(tf.add(tf.matMul(x, w1), b1));
    return tf.mean(tf.square(tf.sub(tf.add(tf.matMul(hidden, w2), b2), y))) as tf.Scalar;
  };

  const optimizer = buildOptimizer({ type: "AdamW", params: { lr: 0.05 } }, parameters);
  const scheduler = buildScheduler(
    { type: "CosineWarmup", params: { num_warmup_steps: 5, num_training_steps: steps } },
    optimizer,
  );
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    // tfjs names gradients by the variables' own names, which the optimizer knows as well.
    const { value, grads } = tf.variableGrads(loss, Object.values(parameters));
    const clipped = clipGradNorm(grads, 1);
    optimizer.applyGradients(clipped.grads);
    scheduler.step();
    losses.push((await value.data())[0]);
    if (step % 20 === 0 || step === steps - 1) {
      const [norm] = await clipped.norm.data();
      print(`step ${step}  loss ${losses[step].toFixed(5)}  gradient norm ${norm.toFixed(3)}`);
    }
    tf.dispose([value, grads, clipped.grads, clipped.norm]);
  }
  optimizer.dispose();
  tf.dispose([x, y, parameters]);
  return losses;
}

if (import.meta.main) {
  await selectBackend("auto");
  await train(200, console.log);
}
