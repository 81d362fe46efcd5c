/** Properties of every scheduler type, composites included. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { assertClose } from "../../test/support/close.ts";
import { buildScheduler, type SchedulerConfig } from "./builder.ts";
import { registeredSchedulers } from "./registry.ts";
import type { Schedulable, Scheduler } from "./scheduler.ts";

const W = { num_warmup_steps: 3 };
const run = { ...W, num_training_steps: 14 };
const cycles = { t_initial: 4, cycle_mul: 1.5, cycle_decay: 0.5, cycle_limit: 3 };
const part = (type: string, params = {}, rest = {}): SchedulerConfig => ({ type, params, ...rest });
const warmThenCosine = part("SequentialLR", {}, {
  schedulers: [part("LinearLR"), part("CosineAnnealingLR", { T_max: 6 })],
  milestones: [4],
});

/** Types whose rates keep the ratio of the groups' base rates. */
const proportional: SchedulerConfig[] = [
  part("LambdaLR", { lr_lambda: (k: number) => 1 / (k + 1) }),
  part("MultiplicativeLR", { lr_lambda: (k: number) => 1 - 0.03 * k }),
  part("StepLR", { step_size: 3, gamma: 0.5 }),
  part("MultiStepLR", { milestones: [7, 2, 2], gamma: 0.1 }),
  part("ConstantLR", { total_iters: 3 }),
  part("ConstantLR", { total_iters: 0 }),
  part("ConstantLR", { factor: 0, total_iters: 4 }),
  part("LinearLR", { start_factor: 0.1 }),
  part("LinearLR", { total_iters: 0 }),
  part("ExponentialLR", { gamma: 0.9 }),
  part("PolynomialLR", { total_iters: 12, power: 0.7 }),
  part("PolynomialLR", { total_iters: 0 }),
  part("CosineAnnealingLR", { T_max: 5 }),
  part("CosineAnnealingLR", { T_max: 1 }),
  part("CosineAnnealingLR", { T_max: 3.5 }),
  part("ClampedCosineAnnealingLR", { T_max: 5 }),
  part("CosineAnnealingWarmRestarts", { T_0: 2, T_mult: 3 }),
  part("CosineWarmup", run),
  part("CosineWarmup", { numWarmupSteps: 0, numTrainingSteps: 5, numCycles: 1 }),
  part("ClampedCosineWarmup", run),
  part("CosineWarmupRestarts", { ...run, num_cycles: 2 }),
  part("MultiCosineAnnealingWarmup", { final_epoch: 12, T_0: [6], lr_mult: [0.5] }),
  part("constant"),
  part("constant_with_warmup", W),
  part("linear", run),
  part("polynomial", { ...run, lr_end: 0.01, power: 1.5 }),
  part("inverse_sqrt", W),
  part("cosine_with_min_lr", { ...run, min_lr: 0.1 }),
  part("cosine_warmup_with_min_lr", { ...run, min_lr_rate: 0.1 }),
  part("warmup_stable_decay", { ...run, num_decay_steps: 5, min_lr_ratio: 0.1 }),
  part("TimmCosine", { ...cycles, warmup_t: 3, noise_range_t: [2, 9] }),
  part("TimmPoly", { ...cycles, k_decay: 1.3, noise_range_t: 4, noise_type: "uniform" }),
  part("TimmTanh", { ...cycles, warmup_t: 3 }),
  part("TimmStep", { decay_t: 2.5, decay_rate: 0.5, warmup_t: 2 }),
  part("TimmMultiStep", { decay_t: [3, 6], decay_rate: 0.5 }),
  warmThenCosine,
  part("ChainedScheduler", {}, {
    schedulers: [part("LinearLR"), part("ExponentialLR", { gamma: 0.8 })],
  }),
  part("SequentialLR", { milestones: [5, 12] }, {
    schedulers: [
      part("ChainedScheduler", {}, { schedulers: [part("LinearLR"), part("ConstantLR")] }),
      warmThenCosine,
      part("ChainedScheduler", {}, {
        schedulers: [warmThenCosine, part("StepLR", { step_size: 2 })],
      }),
    ],
  }),
];

/** Types with rates of their own. */
const absolute: SchedulerConfig[] = [
  part("CosineAnnealingLR", { T_max: 5, eta_min: [0.05, 0.2] }),
  part("CyclicLR", {
    base_lr: [0.1, 0.2],
    max_lr: 1,
    step_size_up: 3,
    mode: "exp_range",
    gamma: 0.9,
  }),
  part("OneCycleLR", { max_lr: [1, 0.3], total_steps: 30, three_phase: true }),
  part("ClampedOneCycleLR", { max_lr: 1, total_steps: 9 }),
  part("SWALR", { swa_lr: [0.05, 0.07], anneal_epochs: 6 }),
  part("SWALR", { swa_lr: 0.05, anneal_epochs: 0 }),
  part("SequentialLR", { milestones: [4, 8] }, {
    schedulers: [
      part("OneCycleLR", { max_lr: 1, total_steps: 9 }),
      part("SWALR", { swa_lr: 0.05, anneal_epochs: 3 }),
      part("CyclicLR", { base_lr: 0.1, max_lr: 0.5, step_size_up: 3 }),
    ],
  }),
  part("ChainedScheduler", {}, {
    schedulers: [
      part("CosineAnnealingLR", { T_max: 8, eta_min: 0.05 }),
      part("PolynomialLR", { total_iters: 9 }, { target: "weight_decay" }),
      part("LinearLR", {}, { target: "momentum" }),
    ],
  }),
  part("ExponentialLR", { gamma: 0.9 }, { target: "weight_decay" }),
];

const plateau = part("ReduceLROnPlateau", { patience: 1, cooldown: 1, factor: 0.5 });
const all = [...proportional, ...absolute, plateau];

const optimizer = (): Schedulable => ({
  paramGroups: [1, 0.1].map((lr) => ({ lr, momentum: 0.5, weight_decay: 0.01 })),
});

/** Metrics that get better, worse, NaN. */
const metricAt = (k: number): number => k === 9 ? NaN : [5, 4, 4.5, 4.2, 3, 3, 3][k % 7];
const label = ({ type, params }: SchedulerConfig): string => `${type} ${JSON.stringify(params)}`;
const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value));

function freeze<T>(value: T): T {
  if (value !== null && typeof value === "object") {
    Object.values(Object.freeze(value)).forEach(freeze);
  }
  return value;
}

test("every registered type is among those tested here", () => {
  const tested = new Set(all.map(({ type }) => type));
  assert.deepEqual(
    registeredSchedulers().map(({ name }) => name).filter((name) => !tested.has(name)),
    [],
  );
});

test("lrAt() is what the steps give, in any order, and changes nothing", () => {
  for (const config of [...proportional, ...absolute]) {
    const bound = optimizer();
    const scheduler = buildScheduler(freeze(config), bound);
    for (let k = 0; k < 28; k++) {
      assertClose(scheduler.lrAt(k), scheduler.getLastLr(), 1e-12, `${label(config)} at ${k}`);
      const before = [copy(bound), scheduler.stateDict()];
      for (const other of [27 - k, 0, k + 1, k]) scheduler.lrAt(other);
      assert.deepEqual([copy(bound), scheduler.stateDict()], before, label(config));
      scheduler.step();
    }
  }
});

test("a schedule of factors keeps the ratio of the groups", () => {
  for (const config of proportional) {
    const scheduler = buildScheduler(config, optimizer());
    for (let k = 0; k < 28; k++) {
      const [a, b] = scheduler.getLastLr();
      assertClose([b * 10], [a], 1e-12, `${label(config)} at ${k}`);
      scheduler.step();
    }
  }
});

test("a state saved at any step goes on as if not stopped, wherever the groups come from", () => {
  for (const config of all) {
    for (let stop = 0; stop < 20; stop++) {
      const first = optimizer();
      const whole = buildScheduler(config, first);
      for (let k = 0; k < stop; k++) whole.step(metricAt(k));
      const state = copy(whole.stateDict());
      const groups = copy(first.paramGroups);
      // Fresh groups; saved groups put in before and after; a scheduler made on saved groups.
      const starts: [Schedulable, (groups: Schedulable["paramGroups"]) => void][] = [
        [optimizer(), (own) => own.forEach((group, i) => Object.assign(group, copy(groups[i])))],
        [{ paramGroups: copy(groups) }, () => {}],
        [optimizer(), () => {}],
      ];
      const resumed = starts.map(([bound, fill]) => {
        const scheduler = buildScheduler(config, bound);
        fill(bound.paramGroups);
        scheduler.loadStateDict(state);
        return [scheduler, bound] as const;
      });
      for (let k = stop; k < stop + 8; k++) {
        for (const [scheduler, bound] of resumed) {
          assert.deepEqual(bound.paramGroups.map(numbers), first.paramGroups.map(numbers));
          assert.deepEqual(scheduler.lrAt(k + 1), whole.lrAt(k + 1), `${label(config)} at ${k}`);
          scheduler.step(metricAt(k));
        }
        whole.step(metricAt(k));
      }
    }
  }
});

function numbers({ lr, momentum, weight_decay }: Record<string, unknown>): unknown[] {
  return [lr, momentum, weight_decay];
}

function trace(config: SchedulerConfig, steps: number): number[][] {
  const scheduler: Scheduler = buildScheduler(config, optimizer());
  return Array.from({ length: steps }, () => {
    const rates = scheduler.getLastLr();
    scheduler.step();
    return rates;
  });
}

test("SequentialLR nests: parts in parts run as if they stood side by side", () => {
  const [a, b, c] = [
    part("LinearLR", { start_factor: 0.1 }),
    part("ExponentialLR", { gamma: 0.7 }),
    part("CosineAnnealingLR", { T_max: 5, eta_min: 0.01 }),
  ];
  const sequence = (milestones: number[], ...schedulers: SchedulerConfig[]) =>
    part("SequentialLR", {}, { schedulers, milestones });
  const flat = trace(sequence([3, 7], a, b, c), 15);
  assert.deepEqual(trace(sequence([7], sequence([3], a, b), c), 15), flat);
  assert.deepEqual(trace(sequence([3], a, sequence([4], b, c)), 15), flat);
  assert.deepEqual(trace(sequence([0, 3], c, a, sequence([4], b, c)), 15), flat);
});

test("ChainedScheduler after a milestone starts from the base rates", () => {
  const product = part("ChainedScheduler", {}, {
    schedulers: [part("LinearLR"), part("StepLR", { step_size: 2, gamma: 0.5 })],
  });
  const late = part("SequentialLR", {}, {
    schedulers: [part("ExponentialLR", { gamma: 0.5 }), product],
    milestones: [4],
  });
  assert.deepEqual(trace(late, 12).slice(4), trace(product, 8));
});

test("clamped variants follow the original to its end and stay there", () => {
  const rows: [string, string, Record<string, unknown>, number][] = [
    ["CosineAnnealingLR", "ClampedCosineAnnealingLR", { T_max: 6, eta_min: 0.01 }, 6],
    ["CosineWarmup", "ClampedCosineWarmup", run, 14],
    ["OneCycleLR", "ClampedOneCycleLR", { max_lr: 1, total_steps: 15 }, 14],
  ];
  for (const [original, clamped, params, end] of rows) {
    const expected = trace(part(original, params), end + 1);
    const rates = trace(part(clamped, params), 40);
    rates.forEach((row, k) =>
      assertClose(row, expected[Math.min(k, end)], 1e-12, `${clamped} at ${k}`)
    );
  }
});

test("MultiCosineAnnealingWarmup gives the rates of its description and stays at the end", () => {
  const params = { final_epoch: 12, T_0: [6], lr_mult: [0.5], warmup_begin: 2 };
  const rates = trace(part("MultiCosineAnnealingWarmup", params), 15).map(([lr]) => lr);
  const expected = [0.01, 0.505, 1, 0.75, 0.25, 0, 0.5, 0.4523, 0.3273, 0.1727, 0.0477, 0, 0, 0, 0];
  assertClose(rates, expected, 1e-4);
});

test("timm's noise is a function of seed and step, within its bounds, and only in its range", () => {
  const noisy = (noise: Record<string, unknown>) =>
    trace(part("TimmStep", { decay_t: 1000, ...noise }), 400).map(([lr]) => lr);
  const normal = noisy({ noise_range_t: [50, 350], noise_pct: 0.5 });
  assert.deepEqual(normal, noisy({ noise_range_t: [50, 350], noise_pct: 0.5 }));
  assert.notDeepEqual(normal, noisy({ noise_range_t: [50, 350], noise_pct: 0.5, noise_seed: 1 }));
  assert.ok(
    normal.every((lr, k) => k < 50 || k >= 350 ? lr === 1 : lr !== 1 && Math.abs(lr - 1) < 0.5),
  );
  // A normal number cut off at +-0.5 has variance 0.0803, a uniform one 1 / 12.
  const variance = (lrs: number[]) => lrs.reduce((sum, lr) => sum + (lr - 1) ** 2, 0) / lrs.length;
  assert.ok(Math.abs(variance(normal.slice(50, 350)) - 0.0803) < 0.015);
  const uniform = noisy({ noise_range_t: 0, noise_pct: 0.5, noise_type: "uniform" });
  assert.ok(Math.abs(variance(uniform) - 1 / 12) < 0.015);
  assert.ok(variance(noisy({ noise_range_t: 0, noise_pct: 0.5, noise_std: 0.01 })) < 2e-4);
});
