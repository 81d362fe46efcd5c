import { strict as assert } from "node:assert";
import { test } from "node:test";
import { buildScheduler, type SchedulerConfig } from "../../src/schedule/builder.ts";
import { assertClose } from "../support/close.ts";
import { readFixture } from "../support/fixture.ts";

interface Part {
  type: string;
  params?: Record<string, unknown>;
  schedulers?: Part[];
  milestones?: number[] | null;
}

interface Case extends Part {
  optimizer?: string;
  groups?: ({ lr: number } & Record<string, unknown>)[];
  metrics?: (number | string | null)[];
  trajectory: { lr: number[]; momentum?: number[]; beta1?: number[]; error?: string }[];
  closedForm?: number[][];
}

/** Functions that the fixture names. */
const functions: Record<string, (k: number) => number> = {
  inverse: (k) => 1 / (k + 1),
  fading: (k) => 1 - 0.04 * k,
};

function configOf({ type, params = {}, schedulers, milestones }: Part): SchedulerConfig {
  const options = Object.entries(params).map((
    [key, value],
  ) => [key, key === "lr_lambda" ? functions[value as string] : value]);
  return {
    type,
    params: Object.fromEntries(options),
    schedulers: schedulers?.map(configOf),
    milestones: milestones ?? undefined,
  };
}

/** The two groups of the fixtures: rates 1 and 0.1. */
function groupsOf({ optimizer = "SGD", groups }: Case): NonNullable<Case["groups"]> {
  if (groups !== undefined) return groups.map((group) => ({ ...group }));
  const extra = optimizer === "SGD" ? { momentum: 0.5 } : { betas: [0.9, 0.999] };
  return [1, 0.1].map((lr) => ({ lr, ...extra }));
}

const golden = readFixture<{ cases: Case[] }>("torch/schedulers.json").cases;
const further = readFixture<{ cases: Case[] }>("schedulers.json").cases;
const random = readFixture<{ cases: Case[] }>("torch/schedulers_random.json").cases;

test("the golden cases are all there", () => {
  assert.equal(golden.length, 39);
  assert.equal(further.length, 66);
  assert.equal(random.length, 52);
});

for (const expected of [...golden, ...further, ...random]) {
  const detail = JSON.stringify(expected.params ?? expected.schedulers?.map(({ type }) => type));
  const groups = expected.groups === undefined ? expected.optimizer ?? "SGD" : "edited rates";
  test(`${expected.type} ${detail} with ${groups} follows the original`, () => {
    const paramGroups = groupsOf(expected);
    const scheduler = buildScheduler(configOf(expected), { paramGroups });
    expected.trajectory.forEach((row, k) => {
      if (row.error !== undefined) {
        assert.throws(() => scheduler.step(), /^ConfigError: scheduler: /, `step ${k}`);
        return;
      }
      const metric = expected.metrics?.[k - 1];
      if (k > 0) scheduler.step(metric === null ? NaN : metricOf(metric));
      assertClose(scheduler.getLastLr(), row.lr, 1e-12, `lr at ${k}`);
      // Base rates, not edited ones, are what a closed form previews.
      if (expected.metrics === undefined && expected.groups === undefined) {
        assertClose(scheduler.lrAt(k), row.lr, 1e-12, `preview at ${k}`);
      }
      if (row.momentum !== undefined) {
        const momenta = paramGroups.map((group) => group.momentum as number);
        assertClose(momenta, row.momentum, 1e-12, `momentum at ${k}`);
      }
      if (row.beta1 !== undefined) {
        const betas = paramGroups.map((group) => (group.betas as number[])[0]);
        assertClose(betas, row.beta1, 1e-12, `beta1 at ${k}`);
      }
    });
    expected.closedForm?.forEach((row, k) =>
      assertClose(scheduler.lrAt(k), row, 1e-12, `closed form at ${k}`)
    );
  });
}

/** Python's words for what JSON has no numbers for. */
function metricOf(metric: number | string | undefined): number | undefined {
  if (typeof metric !== "string") return metric;
  return { inf: Infinity, "-inf": -Infinity, nan: NaN }[metric];
}
