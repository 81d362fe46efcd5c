/** Updates of every registered optimizer, and the golden cases of torch, on the current backend. */
import { randomStream } from "../../src/core/random.ts";
import { buildOptimizer } from "../../src/optim/builder.ts";
import * as tf from "../../src/tensor/tf.ts";
import { readFixture } from "../support/fixture.ts";
import { optimizerConfigs } from "../support/optimizer_configs.ts";

/** Parameters after the last step, then the state. */
export type Values = number[][];

/** Sizes that are no multiples of a vector. */
const shapes: Record<string, number[]> = { matrix: [33, 7], vector: [65] };

/** Five updates with an optimizer of each type. */
export async function everyOptimizer(): Promise<Record<string, Values>> {
  const runs: Record<string, Values> = {};
  for (const config of optimizerConfigs) {
    const parameters = tf.tidy(() => named(shapes, (name) => tf.variable(draw(name))));
    const optimizer = buildOptimizer(config, parameters);
    for (let step = 0; step < 5; step++) {
      await optimizer.step(() => {
        // The gradient of half the squared distance to a random point.
        const grads = tf.tidy(() =>
          named(shapes, (name) => tf.sub(parameters[name], draw(name, step)))
        );
        const squares = (): tf.Tensor[] => Object.values(grads).map((g) => tf.sum(tf.square(g)));
        return { value: tf.tidy(() => tf.mul(tf.addN(squares()), 0.5)), grads };
      });
    }
    const { tensors } = optimizer.exportState();
    runs[config.type] = await valuesOf([...Object.values(parameters), ...Object.values(tensors)]);
    optimizer.dispose();
    tf.dispose(parameters);
  }
  return runs;
}

interface Golden {
  init: number[][];
  shapes: number[][];
  grads: number[][][];
  optimizers: {
    type: string;
    params: Record<string, unknown>;
    groups?: string;
    lrPerStep?: number[];
    only2d?: boolean;
    newtonSchulzDtype?: string;
    trajectory: number[][][];
  }[];
}

/** By its title: the parameters after the last step of torch (in float64) and of ours. */
export async function goldenCases(): Promise<Record<string, [Values, Values]>> {
  const golden = readFixture<Golden>("torch/optimizers.json");
  const results: Record<string, [Values, Values]> = {};
  for (const { type, params, groups, lrPerStep, only2d, ...rest } of golden.optimizers) {
    if (rest.newtonSchulzDtype?.startsWith("bfloat16")) continue;
    const own: Record<string, number[]> = { weight: golden.shapes[0], bias: golden.shapes[1] };
    if (only2d) delete own.bias;
    const index = (name: string) => name === "weight" ? 0 : 1;
    const parameters = tf.tidy(() =>
      named(own, (name, shape) => tf.variable(tf.tensor(golden.init[index(name)], shape)))
    );
    const overrides = [{ match: "^weight$" }, {
      match: "bias",
      lr: params.lr as number * 0.1,
      weightDecay: 0,
    }];
    const config = { type, params, groups: groups === undefined ? [] : overrides };
    const optimizer = buildOptimizer(config, parameters);
    for (const step of rest.trajectory.keys()) {
      const lr = lrPerStep?.[step];
      if (lr !== undefined) { for (const group of optimizer.paramGroups) group.lr = lr; }
      const grads = named(own, (name, s) => tf.tensor(golden.grads[step][index(name)], s));
      optimizer.applyGradients(grads);
      tf.dispose(grads);
    }
    const title = `${type} ${JSON.stringify([params, groups, lrPerStep])}`;
    results[title] = [rest.trajectory.at(-1)!, await valuesOf(Object.values(parameters))];
    optimizer.dispose();
    tf.dispose(parameters);
  }
  return results;
}

function named<T>(
  shapes: Record<string, number[]>,
  make: (name: string, shape: number[]) => T,
): Record<string, T> {
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, make(name, shape)]),
  );
}

function draw(name: string, step = -1): tf.Tensor {
  const values = new Float32Array(tf.util.sizeFromShape(shapes[name]));
  return tf.tensor(randomStream(11, name, step + 1).normal(values), shapes[name]);
}

async function valuesOf(tensors: readonly tf.Tensor[]): Promise<Values> {
  const values: Values = [];
  for (const tensor of tensors) values.push([...await tensor.data()]);
  return values;
}
