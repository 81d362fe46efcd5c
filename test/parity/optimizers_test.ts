/** Every optimizer's parameters and state against torch, or against NumPy where torch lacks it. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { WeightAverage } from "../../src/optim/averaging.ts";
import type * as tf from "../../src/tensor/tf.ts";
import { useBackend } from "../support/backend.ts";
import { assertClose } from "../support/close.ts";
import { readFixture } from "../support/fixture.ts";
import {
  formulaTrajectories,
  goldenTrajectories,
  tolerance,
  torchTrajectories,
  type Trajectory,
  TrajectoryRun,
} from "../support/trajectories.ts";

const golden = goldenTrajectories();
const torch = torchTrajectories();
const formulas = formulaTrajectories();

test("every golden case is run, Muon's against Newton-Schulz without the cast to bfloat16", () => {
  assert.equal(golden.length, 41);
  const { optimizers } = readFixture<{ optimizers: unknown[] }>("torch/optimizers.json");
  assert.equal(optimizers.length, 44);
  assert.equal(torch.length, 25 + 52);
});

for (const backend of ["cpu", "wasm"] as const) {
  for (const row of [...golden, ...torch, ...formulas]) {
    const whom = formulas.includes(row) ? "its formula" : "torch";
    test(`${row.title} follows ${whom} on ${backend}`, async () => {
      await useBackend(backend);
      const run = new TrajectoryRun(row);
      for (const step of row.grads.keys()) {
        await run.update(step);
        const kept = row.steps.indexOf(step);
        if (kept >= 0) await assertStep(run, row, step, kept);
      }
      assertState(run, row);
      run.dispose();
    });
  }

  test(`Muon stays as near to torch's own as bfloat16 lets two of them be, on ${backend}`, async () => {
    await useBackend(backend);
    const rows = goldenTrajectories(true);
    assert.equal(rows.length, 3);
    for (const row of rows) {
      const run = new TrajectoryRun(row);
      const { lr, adjust_lr_fn } = run.optimizer.paramGroups[0];
      const [rows, columns] = row.shapes[0];
      const ratio = adjust_lr_fn === "match_rms_adamw"
        ? 0.2 * Math.sqrt(Math.max(rows, columns))
        : Math.sqrt(Math.max(1, rows / columns));
      for (const step of row.grads.keys()) {
        await run.update(step);
        const [values] = await run.values();
        const off = values.map((value, i) => Math.abs(value - row.trajectory[step][0][i]));
        // 3.5e-2 an element of a direction is what two roundings to bfloat16 differ by.
        assert.ok(Math.max(...off) < 3.5e-2 * lr * ratio * (step + 1), `step ${step}: ${off}`);
      }
      run.dispose();
    }
  });

  test(`WeightAverage follows the formulas of EMA and SWA on ${backend}`, async () => {
    await useBackend(backend);
    const { averages } = readFixture<{
      averages: Record<string, { options: Record<string, unknown>; averages: number[][] }>;
    }>("optimizers.json");
    for (const [title, { options, averages: expected }] of Object.entries(averages)) {
      const run = new TrajectoryRun({ ...golden[0], type: "SGD", params: { lr: 0.1 } });
      const average = new WeightAverage(options);
      for (const step of golden[0].grads.keys()) {
        await run.update(step);
        if (average.isDue(step + 1)) average.update(run.parameters, step + 1);
      }
      const raw = await run.values();
      average.swapIn(run.parameters);
      assertValues(await run.values(), expected, 2e-6, title);
      average.swapOut(run.parameters);
      assert.deepEqual(await run.values(), raw);
      average.dispose();
      run.dispose();
    }
  });
}

async function assertStep(run: TrajectoryRun, row: Trajectory, step: number, kept: number) {
  const raw = await run.values();
  assertValues(raw, row.trajectory[kept], tolerance(step), `step ${step}`);
  if (row.evaluation === undefined) return;
  run.optimizer.eval();
  assertValues(
    await run.values(),
    row.evaluation[kept],
    tolerance(step),
    `step ${step} in evaluation`,
  );
  run.optimizer.train();
  assert.deepEqual(await run.values(), raw);
}

function assertState({ optimizer }: TrajectoryRun, { finalState, d }: Trajectory) {
  const { state, param_groups } = optimizer.stateDict();
  if (finalState !== undefined) assert.deepEqual(Object.keys(state), Object.keys(finalState));
  for (const [index, slots] of Object.entries(finalState ?? {})) {
    const actual = state[Number(index)];
    assert.deepEqual(Object.keys(actual).sort(), Object.keys(slots).sort());
    for (const [slot, expected] of Object.entries(slots)) {
      const value = actual[slot];
      const values = typeof value === "number" ? [value] : value.dataSync();
      assertClose(values, [expected].flat(), 2e-6, `${slot} of param ${index}`);
    }
  }
  if (d !== undefined) assertClose((param_groups[0].d as tf.Tensor).dataSync(), [d], 1e-6, "d");
}

function assertValues(
  actual: readonly ArrayLike<number>[],
  expected: readonly number[][],
  limit: number,
  what: string,
) {
  expected.forEach((values, i) => assertClose(actual[i], values, limit, `${what} param ${i}`));
}
