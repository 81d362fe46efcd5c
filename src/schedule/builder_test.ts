import { strict as assert } from "node:assert";
import { test } from "node:test";
import { assertClose } from "../../test/support/close.ts";
import { integer, list, number, object } from "../core/options.ts";
import { buildScheduler, type SchedulerConfig } from "./builder.ts";
import { registerScheduler } from "./registry.ts";
import { schedule } from "./schedule.ts";
import type { Schedulable } from "./scheduler.ts";

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

test("lrAt() is the recursion in closed form, keeps ratios and changes nothing", () => {
  for (const config of configs) {
    const two = optimizer(1, 0.1);
    const scheduler = buildScheduler(config, two);
    for (let k = 0; k < 30; k++) {
      assertClose(scheduler.lrAt(k), scheduler.getLastLr(), 1e-12, `${config.type} at ${k}`);
      const [a, b] = scheduler.lrAt(29 - k);
      assertClose([b * 10], [a], 1e-12);
      scheduler.step();
    }
  }
});

test("state saved at every step and loaded into a new run goes on as if not stopped", () => {
  for (const config of configs) {
    for (let stop = 0; stop < 12; stop++) {
      const first = optimizer(1, 0.1);
      const whole = buildScheduler(config, first);
      for (let k = 0; k < stop; k++) whole.step();
      const saved = JSON.parse(JSON.stringify([whole.stateDict(), first.paramGroups]));
      const second = optimizer(1, 0.1);
      const resumed = buildScheduler(config, second);
      resumed.loadStateDict(saved[0]);
      second.paramGroups.forEach((group, i) => Object.assign(group, saved[1][i]));
      for (let k = 0; k < 12; k++) {
        whole.step();
        resumed.step();
        assert.deepEqual(resumed.getLastLr(), whole.getLastLr());
      }
    }
  }
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
    [{ type: 3 }, /scheduler\.type: must be a registered name, received 3$/],
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
