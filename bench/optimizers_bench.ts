/**
 * One update of AdamW against one of tf.train.adam on the wasm backend: 200 tensors of 1,000
 * elements, where the calls count, and one of a million, where the memory does.
 */
import { buildOptimizer, randomStream, selectBackend, tf } from "../mod.ts";

const SHAPES = {
  "200 tensors of 1,000": { tensors: 200, size: 1000 },
  "1 tensor of 1,000,000": { tensors: 1, size: 1_000_000 },
};

await selectBackend("wasm");

for (const [group, { tensors, size }] of Object.entries(SHAPES)) {
  const draw = (label: string) =>
    tf.tensor1d(randomStream(1, label).normal(new Float32Array(size)), "float32");
  const variables: Record<string, tf.Variable> = {};
  const gradients: Record<string, tf.Tensor> = {};
  for (let i = 0; i < tensors; i++) {
    variables[`p${i}`] = tf.variable(draw(`p${i}`), true, `${group}/p${i}`);
    gradients[`p${i}`] = draw(`g${i}`);
  }
  const byVariable = Object.entries(gradients).map(([name, tensor]) => ({
    name: variables[name].name,
    tensor,
  }));
  const adamw = buildOptimizer({ type: "AdamW", params: { lr: 1e-5 } }, variables);
  const adam = tf.train.adam(1e-5);
  Deno.bench({ name: "tf.train.adam", group, baseline: true }, () => {
    adam.applyGradients(byVariable);
  });
  Deno.bench({ name: "AdamW", group }, () => {
    adamw.applyGradients(gradients);
  });
}
