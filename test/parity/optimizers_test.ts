import { strict as assert } from "node:assert";
import { test } from "node:test";
import { buildOptimizer } from "../../src/optim/builder.ts";
import * as tf from "../../src/tensor/tf.ts";
import { useBackend } from "../support/backend.ts";
import { assertClose } from "../support/close.ts";
import { readFixture } from "../support/fixture.ts";

interface Case {
  type: string;
  params: Record<string, unknown>;
  groups?: string;
  lrPerStep?: number[];
  only2d?: boolean;
  newtonSchulzDtype?: string;
  trajectory: number[][][];
  finalState: Record<string, Record<string, number | number[]>>;
}

interface Fixture {
  init: number[][];
  shapes: number[][];
  grads: number[][][];
  optimizers: Case[];
}

const fixture = readFixture<Fixture>("torch/optimizers.json");
const cases = fixture.optimizers.filter(({ newtonSchulzDtype }) =>
  !newtonSchulzDtype?.startsWith("bfloat16")
);

/** float32 against float64: about one rounding a step; see the measured drift of torch itself. */
const tolerance = (step: number) => step < 10 ? 1e-6 : 2e-6;

function parametersOf({ only2d }: Case): Record<string, tf.Variable> {
  const names = only2d ? ["weight"] : ["weight", "bias"];
  return Object.fromEntries(
    names.map((name, i) => [name, tf.variable(tf.tensor(fixture.init[i], fixture.shapes[i]))]),
  );
}

test("every golden case is run, Muon's against Newton-Schulz without the cast to bfloat16", () => {
  assert.equal(cases.length, 41);
  assert.equal(fixture.optimizers.length, 44);
});

for (const backend of ["cpu", "wasm"] as const) {
  for (const golden of cases) {
    const title = `${golden.type} ${JSON.stringify(golden.params)}` +
      (golden.groups === undefined ? "" : " in two groups") +
      (golden.lrPerStep === undefined ? "" : " with a rate of its own at every step");
    test(`${title} follows torch on ${backend}`, async () => {
      await useBackend(backend);
      const parameters = parametersOf(golden);
      const variables = Object.values(parameters);
      const { type, params } = golden;
      const groups = golden.groups === undefined
        ? []
        : [{ match: "^weight$" }, { match: "bias", lr: params.lr as number * 0.1, weightDecay: 0 }];
      const optimizer = buildOptimizer({ type, params, groups }, parameters);
      for (const [step, expected] of golden.trajectory.entries()) {
        const lr = golden.lrPerStep?.[step];
        if (lr !== undefined) { for (const group of optimizer.paramGroups) group.lr = lr; }
        const grads = Object.fromEntries(
          Object.keys(parameters).map((
            name,
            i,
          ) => [name, tf.tensor(fixture.grads[step][i], fixture.shapes[i])]),
        );
        optimizer.applyGradients(grads);
        tf.dispose(grads);
        variables.forEach((variable, i) =>
          assertClose(variable.dataSync(), expected[i], tolerance(step), `step ${step} param ${i}`)
        );
      }
      const { state } = optimizer.stateDict();
      assert.deepEqual(Object.keys(state), Object.keys(golden.finalState));
      for (const [index, slots] of Object.entries(golden.finalState)) {
        const actual = state[Number(index)];
        assert.deepEqual(Object.keys(actual).sort(), Object.keys(slots).sort());
        for (const [slot, expected] of Object.entries(slots)) {
          const value = actual[slot];
          assertClose(
            typeof value === "number" ? [value] : value.dataSync(),
            [expected].flat(),
            2e-6,
            `${slot} of param ${index}`,
          );
        }
      }
      optimizer.dispose();
      tf.dispose(parameters);
    });
  }
}
