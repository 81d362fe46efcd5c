/**
 * Options that the golden file lacks, against torch, and rules that torch lacks, against NumPy
 * implementations of their formulas.
 */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { WeightAverage } from "../../src/optim/averaging.ts";
import { buildOptimizer } from "../../src/optim/builder.ts";
import type { Optimizer } from "../../src/optim/optimizer.ts";
import * as tf from "../../src/tensor/tf.ts";
import { useBackend } from "../support/backend.ts";
import { assertClose } from "../support/close.ts";
import { readFixture } from "../support/fixture.ts";

interface Golden {
  init: number[][];
  shapes: number[][];
  grads: number[][][];
}

interface Case {
  type: string;
  params: Record<string, unknown>;
  shapes?: number[][];
  /** Overrides of each parameter's group. */
  groups?: Record<string, unknown>[] | null;
  lrPerStep: number[] | null;
  /** Steps and parameters without a gradient. */
  absent?: [number, number][];
  trajectory: number[][][];
  finalState?: Record<string, Record<string, number | number[]>>;
  evaluation?: number[][][];
  d?: number;
}

interface Cases {
  steps: number[];
  cases: Case[];
}

const golden = readFixture<Golden>("torch/optimizers.json");
const torch = readFixture<Cases>("torch/optimizers_more.json");
const numpy = readFixture<
  Cases & {
    curvature: number[][];
    averages: Record<string, { options: Record<string, unknown>; averages: number[][] }>;
  }
>("optimizers.json");

const tolerance = (step: number) => step < 10 ? 1e-6 : 2e-6;
const names = ["weight", "bias"];

function tensors(values: number[][], shapes: number[][]): Record<string, tf.Tensor> {
  return Object.fromEntries(values.map((v, i) => [names[i], tf.tensor(v, shapes[i])]));
}

function variables(shapes: number[][]): Record<string, tf.Variable> {
  return Object.fromEntries(
    golden.init.map((v, i) => [names[i], tf.tidy(() => tf.variable(tf.tensor(v, shapes[i])))]),
  );
}

function assertValues(
  parameters: Record<string, tf.Tensor>,
  expected: number[][],
  limit: number,
  what: string,
) {
  Object.values(parameters).forEach((p, i) =>
    assertClose(p.dataSync(), expected[i], limit, `${what} param ${i}`)
  );
}

/** One step with the gradients of the file; SAM's are taken where the parameters are. */
async function update(
  optimizer: Optimizer,
  parameters: Record<string, tf.Variable>,
  row: Case,
  step: number,
) {
  const shapes = row.shapes ?? golden.shapes;
  const absent = (row.absent ?? []).filter(([t]) => t === step).map(([, i]) => names[i]);
  const given = tensors(golden.grads[step], shapes);
  const grads = Object.fromEntries(
    Object.entries(given).filter(([name]) => !absent.includes(name)),
  );
  if (optimizer.perturbs) {
    const curvature = tensors(numpy.curvature, shapes);
    await optimizer.step(() => ({
      value: 0,
      grads: tf.tidy(() =>
        Object.fromEntries(names.map((name) => [
          name,
          tf.add(grads[name], tf.mul(curvature[name], parameters[name])),
        ]))
      ),
    }));
    tf.dispose(curvature);
  } else {
    optimizer.applyGradients(grads);
  }
  tf.dispose(given);
}

for (const backend of ["cpu", "wasm"] as const) {
  for (const { steps, cases } of [torch, numpy]) {
    for (const row of cases) {
      const title = [
        row.type,
        JSON.stringify(row.params),
        ...(row.groups ? ["in groups"] : []),
        ...(row.lrPerStep ? ["with a rate of its own at every step"] : []),
        ...(row.absent?.length ? ["with absent gradients"] : []),
      ].join(" ");
      test(`${title} follows ${cases === torch.cases ? "torch" : "its formula"} on ${backend}`, async () => {
        await useBackend(backend);
        const parameters = variables(row.shapes ?? golden.shapes);
        const groups = row.groups?.map((g, i) => ({ match: `^${names[i]}$`, ...g })) ?? [];
        const optimizer = buildOptimizer(
          { type: row.type, params: row.params, groups },
          parameters,
        );
        for (let step = 0; step < golden.grads.length; step++) {
          for (const group of optimizer.paramGroups) group.lr = row.lrPerStep?.[step] ?? group.lr;
          await update(optimizer, parameters, row, step);
          const kept = steps.indexOf(step);
          if (kept === -1) continue;
          assertValues(parameters, row.trajectory[kept], tolerance(step), `step ${step}`);
          if (row.evaluation === undefined) continue;
          const raw = names.map((name) => [...parameters[name].dataSync()]);
          optimizer.eval();
          assertValues(parameters, row.evaluation[kept], tolerance(step), `step ${step} in eval`);
          optimizer.train();
          assert.deepEqual(names.map((name) => [...parameters[name].dataSync()]), raw);
        }
        const dict = optimizer.stateDict();
        for (const [index, slots] of Object.entries(row.finalState ?? {})) {
          assert.deepEqual(
            Object.keys(dict.state[Number(index)]).sort(),
            Object.keys(slots).sort(),
          );
          for (const [slot, expected] of Object.entries(slots)) {
            const value = dict.state[Number(index)][slot];
            assertClose(
              typeof value === "number" ? [value] : value.dataSync(),
              [expected].flat(),
              2e-6,
              `${slot} of param ${index}`,
            );
          }
        }
        if (row.d !== undefined) {
          assertClose((dict.param_groups[0].d as tf.Tensor).dataSync(), [row.d], 1e-6, "d");
        }
        optimizer.dispose();
        tf.dispose(parameters);
      });
    }
  }

  test(`WeightAverage follows the formulas of EMA and SWA on ${backend}`, async () => {
    await useBackend(backend);
    for (const [title, { options, averages }] of Object.entries(numpy.averages)) {
      const parameters = variables(golden.shapes);
      const optimizer = buildOptimizer({ type: "SGD", params: { lr: 0.1 } }, parameters);
      const average = new WeightAverage(options);
      golden.grads.forEach((grads, step) => {
        const given = tensors(grads, golden.shapes);
        optimizer.applyGradients(given);
        tf.dispose(given);
        if (average.isDue(step + 1)) average.update(parameters, step + 1);
      });
      const raw = names.map((name) => [...parameters[name].dataSync()]);
      average.swapIn(parameters);
      assertValues(parameters, averages, 2e-6, title);
      average.swapOut(parameters);
      assert.deepEqual(names.map((name) => [...parameters[name].dataSync()]), raw);
      average.dispose();
      tf.dispose(parameters);
    }
  });
}
