/**
 * A script: trains a small network by hand on cpu and on webgpu and prints both as one JSON line.
 */
import { disposeBackend, selectBackend } from "../../src/backend/select.ts";
import { randomStream } from "../../src/core/random.ts";
import * as tf from "../../src/tensor/tf.ts";
import { countDispatches, useWebgpu } from "../support/webgpu.ts";

/** What the script prints. */
export interface Trained {
  /** Why there is no WebGPU; then nothing else is there. */
  readonly skipped?: string;
  readonly adapter: string | null;
  /** The lines of an explicit `webgpu`. */
  readonly lines: string[];
  /** What `auto` takes while the adapter is live. */
  readonly auto: string;
  readonly steps: number;
  readonly dispatches: number;
  readonly leaked: number;
  readonly cpu: number[];
  readonly webgpu: number[];
}

const STEPS = 20;

function draw(label: string, shape: number[], scale: number): tf.Tensor {
  const values = new Float32Array(tf.util.sizeFromShape(shape));
  return tf.tensor(randomStream(7, label).normal(values, 0, scale), shape);
}

/** Losses of all steps, then the weights: relu(x w1 + b1) w2 with squared error, SGD of rate 0.05. */
async function train(): Promise<number[]> {
  const x = draw("x", [64, 16], 1);
  const y = tf.tidy(() => tf.sum(tf.abs(x), 1, true));
  const parameters = tf.tidy(() => [
    tf.variable(draw("w1", [16, 32], 0.25)),
    tf.variable(tf.zeros([32])),
    tf.variable(draw("w2", [32, 1], 0.2)),
  ]);
  const [w1, b1, w2] = parameters;
  const loss = () => {
    const hidden = tf.relu(tf.add(tf.matMul(x as tf.Tensor2D, w1 as tf.Tensor2D), b1));
    return tf.mean(tf.square(tf.sub(tf.matMul(hidden, w2), y))) as tf.Scalar;
  };
  const out: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    const { value, grads } = tf.variableGrads(loss, parameters);
    for (const parameter of parameters) {
      const updated = tf.tidy(() => tf.sub(parameter, tf.mul(grads[parameter.name], 0.05)));
      parameter.assign(updated);
      tf.dispose([updated, grads[parameter.name]]);
    }
    out.push((await value.data())[0]);
    value.dispose();
  }
  for (const parameter of parameters) out.push(...await parameter.data());
  tf.dispose([x, y, ...parameters]);
  return out;
}

async function main(): Promise<Trained | Pick<Trained, "skipped">> {
  await selectBackend("cpu");
  const cpu = await train();
  const skipped = await useWebgpu();
  if (skipped !== undefined) return { skipped };
  const lines: string[] = [];
  const { adapter } = await selectBackend("webgpu", { log: (line) => lines.push(line) });
  const tensors = tf.memory().numTensors;
  const counter = countDispatches();
  const webgpu = await train();
  const dispatches = counter.count;
  const leaked = tf.memory().numTensors - tensors;
  const { name: auto } = await selectBackend("auto", { log: () => {} });
  disposeBackend();
  return { adapter, lines, auto, steps: STEPS, dispatches, leaked, cpu, webgpu };
}

console.log(JSON.stringify(await main()));
