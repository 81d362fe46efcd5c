/** A script: every golden case of the optimizers on webgpu; prints the worst errors as one JSON line. */
import { buildOptimizer } from "../../src/optim/builder.ts";
import * as tf from "../../src/tensor/tf.ts";
import { readFixture } from "../support/fixture.ts";
import { useWebgpu } from "../support/webgpu.ts";

/** What the script prints. */
export interface Found {
  /** Why there is no WebGPU; then nothing else is there. */
  readonly skipped?: string;
  /** The largest |error| / (1 + |expected|) of each case. */
  readonly worst: Record<string, number>;
}

interface Case {
  type: string;
  params: Record<string, unknown>;
  shapes?: number[][];
  groups?: string | Record<string, unknown>[] | null;
  lrPerStep?: number[] | null;
  only2d?: boolean;
  absent?: [number, number][];
  newtonSchulzDtype?: string;
  trajectory: number[][][];
}

interface Fixture {
  steps?: number[];
  optimizers?: Case[];
  cases?: Case[];
}

const files = ["torch/optimizers.json", "torch/optimizers_more.json", "optimizers.json"];
const golden = readFixture<{ init: number[][]; shapes: number[][]; grads: number[][][] }>(files[0]);
const names = ["weight", "bias"];

/** Every read waits for the device, so that only some steps are compared. */
const compared = [0, 1, 5, 9, 19];

const skipped = await useWebgpu();
const worst: Record<string, number> = {};
if (skipped === undefined) {
  for (const file of files) {
    const { steps, optimizers, cases = optimizers! } = readFixture<Fixture>(file);
    for (const [i, row] of cases.entries()) {
      // A second gradient depends on the parameters: SAM's rows are for the other backends.
      if (row.newtonSchulzDtype?.startsWith("bfloat16") || /SAM$/.test(row.type)) continue;
      const title = `${file} ${i} ${row.type} ${JSON.stringify(row.params)}`;
      worst[title] = await errorOf(row, steps);
    }
  }
}
console.log(JSON.stringify({ skipped, worst } satisfies Found));

/** `steps` are those that the trajectory holds, all if undefined. */
async function errorOf(row: Case, steps: number[] | undefined): Promise<number> {
  const shapes = row.shapes ?? golden.shapes;
  const used = row.only2d ? names.slice(0, 1) : names;
  const parameters = Object.fromEntries(
    used.map((name, i) => [name, tf.variable(tf.tensor(golden.init[i], shapes[i]))]),
  );
  const groups = typeof row.groups === "string"
    ? [{ match: "bias", lr: row.params.lr as number * 0.1, weightDecay: 0 }]
    : row.groups?.map((group, i) => ({ match: `^${names[i]}$`, ...group })) ?? [];
  const optimizer = buildOptimizer({ type: row.type, params: row.params, groups }, parameters);
  let worst = 0;
  for (const [step, values] of golden.grads.entries()) {
    for (const group of optimizer.paramGroups) group.lr = row.lrPerStep?.[step] ?? group.lr;
    const absent = (row.absent ?? []).filter(([t]) => t === step).map(([, i]) => names[i]);
    const grads = Object.fromEntries(
      used.map((name, i) => [name, tf.tensor(values[i], shapes[i])] as const)
        .filter(([name]) => !absent.includes(name)),
    );
    optimizer.applyGradients(grads);
    tf.dispose(grads);
    if (!compared.includes(step)) continue;
    const kept = steps === undefined ? step : steps.indexOf(step);
    for (const [i, variable] of Object.values(parameters).entries()) {
      const actual = await variable.data();
      row.trajectory[kept][i].forEach((expected, k) => {
        const error = Math.abs(actual[k] - expected) / (1 + Math.abs(expected));
        worst = error <= worst ? worst : error;
      });
    }
  }
  optimizer.dispose();
  tf.dispose(parameters);
  return worst;
}
