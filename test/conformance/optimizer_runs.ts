/** Updates of every registered optimizer, and the trajectories that are known, on the current backend. */
import { runtime } from "../../src/core/host.ts";
import { randomStream } from "../../src/core/random.ts";
import { buildOptimizer } from "../../src/optim/builder.ts";
import * as tf from "../../src/tensor/tf.ts";
import { optimizerConfigs } from "../support/optimizer_configs.ts";
import {
  formulaTrajectories,
  goldenTrajectories,
  torchTrajectories,
  type Trajectory,
  TrajectoryRun,
} from "../support/trajectories.ts";

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

/** The trajectories that are known; elsewhere than in Deno one set, as runtimes differ in the driver. */
export function knownTrajectories(): Trajectory[] {
  if (runtime !== "deno") return goldenTrajectories();
  return [...goldenTrajectories(), ...torchTrajectories(), ...formulaTrajectories()];
}

/** By its title: the parameters of a known trajectory after ten steps at most, and of ours. */
export async function knownRuns(): Promise<Record<string, [Values, Values]>> {
  const results: Record<string, [Values, Values]> = {};
  const reads: Promise<void>[] = [];
  for (const row of knownTrajectories()) {
    const run = new TrajectoryRun(row);
    const kept = row.steps.filter((step) => step < 10).length - 1;
    for (let step = 0; step <= row.steps[kept]; step++) await run.update(step);
    reads.push(
      run.values().then((values) => {
        results[row.title] = [row.trajectory[kept], values];
        run.dispose();
      }),
    );
  }
  await Promise.all(reads);
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

/** All are read at once: a runtime may look only every so often whether a device has answered. */
async function valuesOf(tensors: readonly tf.Tensor[]): Promise<Values> {
  const values = await Promise.all(tensors.map((tensor) => tensor.data()));
  return values.map((of) => [...of]);
}
