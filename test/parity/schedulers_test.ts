import { strict as assert } from "node:assert";
import { test } from "node:test";
import { buildScheduler } from "../../src/schedule/builder.ts";
import { assertClose } from "../support/close.ts";
import { readFixture } from "../support/fixture.ts";

interface Case {
  type: string;
  params?: Record<string, unknown>;
  optimizer?: string;
  schedulers?: { type: string; params: Record<string, unknown> }[];
  milestones?: number[] | null;
  metrics?: (number | null)[];
  trajectory: { lr: number[]; momentum?: number[]; beta1?: number[]; error?: string }[];
  closedForm?: number[][];
}

const { cases } = readFixture<{ cases: Case[] }>("torch/schedulers.json");

/** The two groups of the fixture: rates 1 and 0.1. */
function groupsOf(optimizer = "SGD"): ({ lr: number } & Record<string, unknown>)[] {
  const extra = optimizer === "SGD" ? { momentum: 0.5 } : { betas: [0.9, 0.999] };
  return [1, 0.1].map((lr) => ({ lr, ...extra }));
}

test("the golden cases are all there", () => assert.equal(cases.length, 39));

for (const golden of cases) {
  const { type, params, schedulers, milestones } = golden;
  const detail = JSON.stringify(params ?? schedulers);
  test(`${type} ${detail} with ${golden.optimizer ?? "SGD"} follows torch`, () => {
    const paramGroups = groupsOf(golden.optimizer);
    const config = { type, params, schedulers, milestones: milestones ?? undefined };
    const scheduler = buildScheduler(config, { paramGroups });
    golden.trajectory.forEach((expected, k) => {
      const metric = golden.metrics?.[k - 1];
      if (expected.error !== undefined) {
        assert.throws(() => scheduler.step(), /^ConfigError: scheduler: /, `step ${k}`);
        return;
      }
      if (k > 0) scheduler.step(metric === null ? NaN : metric);
      assertClose(scheduler.getLastLr(), expected.lr, 1e-12, `lr at ${k}`);
      if (golden.metrics === undefined) {
        assertClose(scheduler.lrAt(k), expected.lr, 1e-12, `preview at ${k}`);
      }
      if (expected.momentum !== undefined) {
        const momenta = paramGroups.map((group) => group.momentum as number);
        assertClose(momenta, expected.momentum, 1e-12, `momentum at ${k}`);
      }
      if (expected.beta1 !== undefined) {
        const betas = paramGroups.map((group) => (group.betas as number[])[0]);
        assertClose(betas, expected.beta1, 1e-12, `beta1 at ${k}`);
      }
    });
    golden.closedForm?.forEach((expected, k) =>
      assertClose(scheduler.lrAt(k), expected, 1e-12, `closed form at ${k}`)
    );
  });
}
