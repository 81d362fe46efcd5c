import { strict as assert } from "node:assert";
import { test } from "node:test";
import { assertClose } from "../../test/support/close.ts";
import { integer, list, number, object } from "../core/options.ts";
import { buildScheduler, type SchedulerConfig } from "./builder.ts";
import { registerScheduler } from "./registry.ts";
import { schedule } from "./schedule.ts";
import type { Schedulable } from "./scheduler.ts";
import { resolveTotals } from "./totals.ts";

const optimizer = (...rates: number[]): Schedulable => ({
  paramGroups: rates.map((lr) => ({ lr })),
});

const configs: SchedulerConfig[] = [
  { type: "StepLR", params: { step_size: 3, gamma: 0.5 } },
  { type: "MultiStepLR", params: { milestones: [7, 2, 2], gamma: 0.1 } },
  { type: "CosineWarmup", params: { num_warmup_steps: 4, num_training_steps: 12 } },
  { type: "CosineWarmup", params: { numWarmupSteps: 0, numTrainingSteps: 5, numCycles: 1 } },
];

test("CosineWarmup gives the rates of its formula, past the end too", () => {
  const scheduler = buildScheduler(
    { TYPE: "CosineWarmup", PARAM: { num_warmup_steps: 2, num_training_steps: 10 } },
    optimizer(2),
  );
  const lrs = Array.from({ length: 15 }, () => {
    const [lr] = scheduler.getLastLr();
    scheduler.step();
    return lr;
  });
  const cosine = (k: number) => 1 + Math.cos(Math.PI * (k - 2) / 8);
  assertClose(lrs, [0, 1, ...Array.from({ length: 13 }, (_, i) => cosine(i + 2))], 1e-15);
  assert.equal(lrs[10], 0);
  assertClose([lrs[14]], [1], 1e-12);
});

test("a rate changed by hand is kept by the recursion, and initial_lr by a second scheduler", () => {
  const one = optimizer(1);
  const scheduler = buildScheduler(configs[0], one);
  one.paramGroups[0].lr = 8;
  for (let k = 0; k < 3; k++) scheduler.step();
  assert.deepEqual(scheduler.getLastLr(), [4]);
  assert.deepEqual(buildScheduler(configs[2], one).lrAt(4), [1]);
});

test("a rule without a closed form is previewed by its recursion", () => {
  const doubling = schedule<{ by: number }>({
    name: "Doubling",
    options: object({ by: number().default(2) }),
    next: (k, lr, _base, { by }) => k === 0 ? lr : lr * by,
  });
  const scheduler = buildScheduler({ type: doubling }, optimizer(1, 3));
  assert.deepEqual([0, 1, 4].map((k) => scheduler.lrAt(k)), [[1, 3], [2, 6], [16, 48]]);
  assert.deepEqual(scheduler.getLastLr(), [1, 3]);
});

test("a composite gets its parts and milestones", () => {
  const seen: unknown[] = [];
  registerScheduler("Pair", {
    name: "Pair",
    composite: true,
    options: object({ milestones: list(integer(0)) }),
    create({ options, optimizer, parts }) {
      const made = parts(optimizer);
      seen.push(options.milestones, made.map((part) => part.lrAt(3)));
      return made[0];
    },
  });
  buildScheduler({ type: "Pair", schedulers: configs.slice(0, 2), milestones: [4] }, optimizer(1));
  assert.deepEqual(seen, [[4], [[0.5], [0.1 * 0.1]]]);
  const bad = { type: "Pair", milestones: [4], schedulers: [{ type: "StepLR", params: {} }] };
  assert.throws(
    () => buildScheduler(bad, optimizer(1)),
    /scheduler\.schedulers\[0\]\.params\.step_size: is required/,
  );
});

test("target schedules another option: its value stands where the rate would", () => {
  const paramGroups = [1, 0.1].map((lr) => ({ lr, weight_decay: lr / 2, betas: [0.9, 0.999] }));
  const decay = buildScheduler(
    { type: "ExponentialLR", params: { gamma: 0.5 }, target: "weightDecay" },
    { paramGroups },
  );
  const given = paramGroups[1].betas;
  const beta = buildScheduler(
    { type: "LinearLR", params: { start_factor: 0.5, total_iters: 2 }, target: "betas[1]" },
    { paramGroups },
  );
  for (const scheduler of [decay, decay, beta]) scheduler.step();
  assert.deepEqual(decay.getLastLr(), [0.125, 0.0125]);
  assert.deepEqual(decay.lrAt(1), [0.25, 0.025]);
  assert.deepEqual(
    paramGroups,
    [
      { lr: 1, weight_decay: 0.125, betas: [0.9, 0.74925], initial_weight_decay: 0.5 },
      { lr: 0.1, weight_decay: 0.0125, betas: [0.9, 0.74925], initial_weight_decay: 0.05 },
    ].map((group) => ({ ...group, "initial_betas[1]": 0.999 })),
  );
  assert.deepEqual(given, [0.9, 0.999]);
});

test("cycled momentum goes to betas[0] where a group has betas, else to momentum", () => {
  const paramGroups = [{ lr: 1, betas: [0.5, 0.99] }, { lr: 1, momentum: 0.5 }];
  const betas = paramGroups[0].betas;
  const params = { max_lr: 1, total_steps: 10, max_momentum: [0.9, 0.8] };
  buildScheduler({ type: "OneCycleLR", params }, { paramGroups });
  assert.deepEqual(paramGroups.map(({ betas, momentum }) => betas ?? momentum), [[0.9, 0.99], 0.8]);
  assert.deepEqual(betas, [0.5, 0.99]);
});

test('resolveTotals() fills "auto" with the steps of the run, in a sequence of the part', () => {
  const config: SchedulerConfig = {
    type: "SequentialLR",
    milestones: [10, 30],
    schedulers: [
      { type: "LinearLR", params: { totalIters: "auto" } },
      { TYPE: "CosineAnnealingLR", PARAM: { T_max: "auto", eta_min: 0.1 } },
      {
        type: "ChainedScheduler",
        schedulers: [{ type: "linear", params: { num_training_steps: "auto" } }],
      },
    ],
  };
  const before = structuredClone(config);
  assert.deepEqual(resolveTotals(config, 100), {
    type: "SequentialLR",
    params: {},
    milestones: [10, 30],
    schedulers: [
      { type: "LinearLR", params: { totalIters: 10 } },
      { type: "CosineAnnealingLR", params: { T_max: 20, eta_min: 0.1 } },
      {
        type: "ChainedScheduler",
        params: {},
        schedulers: [{ type: "linear", params: { num_training_steps: 70 } }],
      },
    ],
  });
  assert.deepEqual(config, before);
  const other = { type: "StepLR", params: { step_size: "auto" } };
  assert.deepEqual(resolveTotals(other, 100), other);
});

test("ReduceLROnPlateau previews what holds while the metric improves, and needs a metric", () => {
  const scheduler = buildScheduler(
    { type: "reduce_lr_on_plateau", params: { patience: 0, factor: 0.5 } },
    optimizer(1, 0.1),
  );
  for (const metric of [1, 2, 3]) scheduler.step(metric);
  assert.deepEqual(scheduler.getLastLr(), [0.25, 0.025]);
  assert.deepEqual(scheduler.lrAt(3), [1, 0.1]);
  assert.throws(() => scheduler.step(), /needs a metric, received undefined$/);
});

test("registerScheduler() takes a factory", () => {
  registerScheduler("Halving", (params, { paramGroups }) => {
    const halve = () => paramGroups.forEach((group) => group.lr /= Number(params.by));
    return {
      step: halve,
      getLastLr: () => paramGroups.map(({ lr }) => lr),
      lrAt: (k) => paramGroups.map(({ lr }) => lr / Number(params.by) ** k),
      stateDict: () => ({}),
      loadStateDict: () => {},
    };
  });
  const scheduler = buildScheduler({ type: "halving", params: { by: 2 } }, optimizer(1));
  scheduler.step();
  assert.deepEqual(scheduler.getLastLr(), [0.5]);
});

test("buildScheduler() names path, rule and value of a bad config", () => {
  const rows: [unknown, RegExp][] = [
    [7, /^ConfigError: scheduler: must be an object \{ type, params \}, received 7$/],
    [{}, /^ConfigError: scheduler\.type: is required/],
    [{ type: "StepLr2" }, /scheduler\.type: unknown scheduler "StepLr2"; did you mean 'StepLR'\?/],
    [{ type: 3 }, /scheduler\.type: must be a registered name \(.*\), received 3$/],
    [{ type: "StepLR" }, /scheduler\.params\.step_size: is required: must be an integer >= 1$/],
    [
      { type: "StepLR", params: { step_size: 0 } },
      /step_size: must be an integer >= 1, received 0$/,
    ],
    [
      { TYPE: "StepLR", PARAM: { stepsize: 1 } },
      /scheduler\.PARAM\.stepsize: unknown option "stepsize" for StepLR; did you mean 'step_size'/,
    ],
    [{ type: "StepLR", params: { step_size: 1, stepSize: 2 } }, /stepSize: is the same option as/],
    [{ type: "StepLR", params: { step_size: 1, last_epoch: 4 } }, /last_epoch: must be -1/],
    [{ type: "StepLR", params: { step_size: 1 }, monitor: "x" }, /monitor: has no meaning for "S/],
    [{ type: "StepLR", schedulers: [] }, /scheduler\.schedulers: has no meaning for "StepLR"$/],
    [{ type: "StepLR", PARAM: {}, params: {} }, /scheduler\.PARAM: is the same option as "params"/],
    [{ type: "MultiStepLR", params: { milestones: [1.5] } }, /milestones\[0\]: must be an integer/],
  ];
  for (const [config, message] of rows) {
    assert.throws(() => buildScheduler(config as SchedulerConfig, optimizer(1)), message);
  }
  const scheduler = buildScheduler(configs[0], optimizer(1));
  assert.throws(() => scheduler.lrAt(0.5), /lrAt: must get an integer >= 0, received 0\.5$/);
  assert.throws(
    () => scheduler.loadStateDict({ last_epoch: -2 }),
    /last_epoch: must be an integer/,
  );
  assert.throws(
    () => scheduler.loadStateDict({ last_epoch: 1, base_lrs: [1, 2] }),
    /base_lrs: must hold 1 numbers, received \[1,2\]$/,
  );
  const grown = optimizer(1);
  const bound = buildScheduler(configs[0], grown);
  grown.paramGroups.push({ lr: 1 });
  assert.throws(() => bound.step(), /was made for 1 parameter groups, received 2/);
});

test("options that torch would divide by, or that contradict each other, are refused", () => {
  const oneCycle = { max_lr: 1, total_steps: 5 };
  const warm = { num_warmup_steps: 5, num_training_steps: 5 };
  const cyclic = { base_lr: 0.1, max_lr: 1 };
  const rows: [string, Record<string, unknown>, RegExp][] = [
    [
      "LambdaLR",
      { lr_lambda: "k => 1" },
      /lr_lambda: must be a function of the step .*, received "k/,
    ],
    [
      "LambdaLR",
      { lr_lambda: [() => 1] },
      /lr_lambda: must hold 2 values, one a group, received 1/,
    ],
    ["ConstantLR", { factor: -0.1 }, /factor: must be a number in \[0, 1\], received -0\.1$/],
    ["StepLR", { step_size: 1, lastEpoch: 3 }, /lastEpoch: must be -1 for StepLR, received 3; res/],
    [
      "StepLR",
      { step_size: 1, lastEpoch: -1, last_epoch: -1 },
      /lastEpoch: is the same option as "last_epoch"; give one of them, received both$/,
    ],
    ["LinearLR", { start_factor: 0 }, /start_factor: must be a number > 0 and <= 1, received 0$/],
    ["LinearLR", { end_factor: 1.5 }, /end_factor: must be a number in \[0, 1\], received 1\.5$/],
    ["CosineAnnealingLR", { T_max: 0 }, /T_max: must be a number > 0, or "auto", received 0$/],
    ["CosineAnnealingLR", { T_max: "auto" }, /T_max: is "auto", which a run replaces/],
    ["CosineAnnealingWarmRestarts", { T_0: 0 }, /T_0: must be an integer >= 1, received 0$/],
    ["CosineAnnealingWarmRestarts", { T_0: 2, T_mult: 1.5 }, /T_mult: must be an integer >= 1/],
    [
      "CyclicLR",
      { ...cyclic, max_lr: [1, 2, 3] },
      /max_lr: must hold 2 values, one a group, received 3/,
    ],
    ["CyclicLR", { ...cyclic, step_size_up: 0 }, /step_size_up: must be a number > 0, received 0$/],
    ["CyclicLR", { ...cyclic, mode: "sine" }, /mode: must be one of "triangular", "triangular2"/],
    [
      "CyclicLR",
      cyclic,
      /cycle_momentum: must be false for CyclicLR .* momentum nor betas: group 0$/,
    ],
    ["OneCycleLR", oneCycle, /cycle_momentum: must be false for OneCycleLR where/],
    ["OneCycleLR", { max_lr: 1 }, /total_steps: must be given, or epochs and steps_per_epoch/],
    ["OneCycleLR", { ...oneCycle, epochs: 2, steps_per_epoch: 3 }, /total_steps: .* not both$/],
    ["OneCycleLR", { ...oneCycle, total_steps: 0 }, /total_steps: must be an integer >= 1/],
    ["OneCycleLR", { ...oneCycle, pct_start: 1.5 }, /pct_start: must be a number in \[0, 1\]/],
    ["ReduceLROnPlateau", { factor: 1 }, /factor: must be a number < 1, received 1$/],
    ["ReduceLROnPlateau", { mode: "up" }, /mode: must be one of "min", "max", received "up"$/],
    ["ReduceLROnPlateau", { min_lr: [0] }, /min_lr: must hold 2 values/],
    ["SWALR", { swa_lr: 0.1, anneal_epochs: -1 }, /anneal_epochs: must be an integer >= 0/],
    ["MultiCosineAnnealingWarmup", { final_epoch: 9, T_0: [3] }, /lr_mult: must hold as many/],
    [
      "MultiCosineAnnealingWarmup",
      { final_epoch: 9, T_0: [9], lr_mult: [1] },
      /final_epoch: warmup_begin, T_0 and final_epoch must rise, received 0, 9, 9$/,
    ],
    ["polynomial", warm, /num_training_steps: must be above num_warmup_steps \(5\), received 5$/],
    [
      "polynomial",
      { ...warm, lr_end: 1 },
      /lr_end: must be below the optimizer's lr 1, received 1$/,
    ],
    ["cosine_with_min_lr", warm, /min_lr: or min_lr_rate must be given, and not both$/],
    [
      "warmup_stable_decay",
      { num_warmup_steps: 1, num_decay_steps: 1 },
      /num_stable_steps must be/,
    ],
    [
      "TimmCosine",
      { t_initial: 5, noise_range_t: [1] },
      /noise_range_t: must be an integer >= 0 or/,
    ],
    [
      "SequentialLR",
      {},
      /scheduler\.params\.milestones: is required: must be an array of integers/,
    ],
    ["ChainedScheduler", {}, /scheduler\.schedulers: must be an array of at least one scheduler$/],
  ];
  for (const [type, params, message] of rows) {
    assert.throws(() => buildScheduler({ type, params }, optimizer(1, 0.1)), message, type);
  }
});

test("a composite refuses milestones that do not fit and parts that it cannot start", () => {
  registerScheduler("Idle", (_params, { paramGroups }) => ({
    step: () => {},
    getLastLr: () => paramGroups.map(({ lr }) => lr),
    lrAt: () => paramGroups.map(({ lr }) => lr),
    stateDict: () => ({}),
    loadStateDict: () => {},
  }));
  const sequence = (milestones: number[], ...types: string[]) => ({
    type: "SequentialLR",
    schedulers: types.map((type) => ({ type })),
    milestones,
  });
  const rows: [SchedulerConfig, RegExp][] = [
    [
      sequence([], "LinearLR", "ConstantLR"),
      /^ConfigError: scheduler\.milestones: must hold one step fewer .* \(2\), received \[\]$/,
    ],
    [sequence([3, 1], "constant", "constant", "constant"), /milestones: must be in rising order/],
    [
      sequence([3], "LinearLR", "ReduceLROnPlateau"),
      /schedulers\[1\]: cannot be part of "SequentialLR": it steps with a metric, after validat/,
    ],
    [sequence([3], "Idle", "LinearLR"), /schedulers\[0\]: cannot be .* it is made by a factory$/],
    [
      { ...sequence([3], "LinearLR"), params: { milestones: [3] } },
      /milestones: is also in params/,
    ],
    [{ type: "constant", target: "momentum" }, /target: must name a number of .*; group 0 has lr$/],
    [{ type: "StepLR", params: { step_size: 1 }, monitor: "loss" }, /monitor: has no meaning/],
  ];
  for (const [config, message] of rows) {
    assert.throws(() => buildScheduler(config, optimizer(1)), message);
  }
  const twice = buildScheduler(sequence([3], "LinearLR", "ConstantLR"), optimizer(1));
  assert.throws(
    () => twice.loadStateDict({ ...twice.stateDict(), schedulers: [] }),
    /scheduler state\.schedulers: must hold 2 states, received \[\]$/,
  );
  assert.throws(
    () => buildScheduler({ type: "constant" }, optimizer(1)).loadStateDict(twice.stateDict()),
    /scheduler state: must be of constant, received "SequentialLR"$/,
  );
  const plateau = buildScheduler({ type: "ReduceLROnPlateau" }, optimizer(1));
  const single = buildScheduler({ type: "StepLR", params: { step_size: 1 } }, optimizer(1));
  for (const scheduler of [twice, plateau, single]) {
    assert.throws(
      () => scheduler.loadStateDict(null as never),
      /^ConfigError: scheduler state: must be an object, received null$/,
    );
  }
  class Sgd {}
  for (const [wrong, shown] of [[undefined, "undefined"], [{}, "{}"], [new Sgd(), "a Sgd"]]) {
    assert.throws(
      () => buildScheduler({ type: "constant" }, wrong as never),
      (error) =>
        (error as Error).message ===
          `optimizer: must have paramGroups, as those of buildOptimizer, received ${shown}`,
    );
  }
});

test("what torch's constructors carry is taken: last_epoch -1 in both spellings, verbose", () => {
  for (const rest of [{ last_epoch: -1 }, { lastEpoch: -1 }, { verbose: true }]) {
    const scheduler = buildScheduler(
      { type: "StepLR", params: { step_size: 1, ...rest } },
      optimizer(1),
    );
    assert.deepEqual(scheduler.lrAt(1), [0.1]);
  }
});

test("ConstantLR with a factor of 0 waits, then has the base rate", () => {
  const one = optimizer(0.5);
  const scheduler = buildScheduler(
    { type: "ConstantLR", params: { factor: 0, total_iters: 2 } },
    one,
  );
  const seen = [0, 1, 2, 3].map((k) => {
    if (k > 0) scheduler.step();
    return one.paramGroups[0].lr;
  });
  assert.deepEqual(seen, [0, 0, 0.5, 0.5]);
  assert.deepEqual([0, 1, 2, 3].map((k) => scheduler.lrAt(k)[0]), seen);
});
