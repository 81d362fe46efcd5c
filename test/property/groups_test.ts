/** Parameter groups under schedules: whom they hold, in which order, and what a schedule reads and keeps. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { randomStream } from "../../src/core/random.ts";
import { buildOptimizer, type GroupConfig } from "../../src/optim/builder.ts";
import { buildScheduler, type SchedulerConfig } from "../../src/schedule/builder.ts";
import * as tf from "../../src/tensor/tf.ts";
import { useBackend } from "../support/backend.ts";
import { assertClose } from "../support/close.ts";

await useBackend("cpu");

const words = ["embed", "layers.0", "layers.1", "layers.2", "norm", "head"];

/** Twelve parameters in an order of their own, of rank 1 and 2. */
function parametersOf(seed: number): Record<string, tf.Variable> {
  const names = words.flatMap((word) => [`${word}.weight`, `${word}.bias`]);
  const at = randomStream(seed, "order").uniform(new Float32Array(names.length));
  const order = names.map((name, i) => ({ name, at: at[i] })).sort((a, b) => a.at - b.at);
  return Object.fromEntries(order.map(({ name }) => [
    name,
    tf.tidy(() => tf.variable(tf.ones(name.endsWith("bias") ? [2] : [2, 2]))),
  ]));
}

/** A drawn config whose rules match something, the rates of its rules, and what each rule takes. */
function drawn(seed: number) {
  const draw = randomStream(seed, "rules").uniform(new Float32Array(20));
  const pick = (i: number) => words[Math.floor(draw[i] * words.length)];
  const rules = Array.from({ length: Math.floor(draw[0] * 4) }, (_, i) => {
    const word = pick(i + 1), lr = draw[i + 6];
    return draw[i + 12] < 0.3
      ? { config: { where: { maxRank: 1 }, lr }, takes: (name: string) => name.endsWith("bias") }
      : {
        config: { match: word.replace(".", "\\."), lr },
        takes: (name: string) => name.includes(word),
      };
  });
  const noDecay = draw[18] < 0.5 ? "none" as const : "auto" as const;
  return { rules, noDecay, groups: rules.map(({ config }) => config as GroupConfig) };
}

const proportional: SchedulerConfig[] = [
  { type: "StepLR", params: { step_size: 3 } },
  { type: "ExponentialLR", params: { gamma: 0.9 } },
  { type: "CosineWarmup", params: { num_warmup_steps: 3, num_training_steps: 20 } },
  { type: "polynomial", params: { num_warmup_steps: 3, num_training_steps: 20, lr_end: 1e-4 } },
  { type: "LinearLR", params: { total_iters: 4 } },
];

test("drawn groups hold every parameter once, in the order of rules and parameters, and keep their ratios", () => {
  for (let seed = 0; seed < 40; seed++) {
    const parameters = parametersOf(seed);
    const names = Object.keys(parameters);
    const { rules, noDecay, groups } = drawn(seed);
    const config = { type: "AdamW", params: { lr: 0.5, weight_decay: 0.1 }, noDecay, groups };
    const optimizer = buildOptimizer(config, parameters);

    // The model: each name to its first rule or the rest, each part by decay.
    const ruleOf = (name: string) => {
      const found = rules.findIndex(({ takes }) => takes(name));
      return found < 0 ? rules.length : found;
    };
    const expected = [...rules.map(({ config: { lr } }) => lr), 0.5].flatMap((lr, i) => {
      const mine = names.filter((name) => ruleOf(name) === i);
      const spared = (name: string) => noDecay === "auto" && /norm|bias$/.test(name);
      return [
        { lr, weight_decay: 0.1, names: mine.filter((name) => !spared(name)) },
        { lr, weight_decay: 0, names: mine.filter(spared) },
      ].filter(({ names }) => names.length > 0);
    });
    const found = optimizer.paramGroups.map(({ lr, weight_decay, names }) => ({
      lr,
      weight_decay,
      names,
    }));
    assert.deepEqual(found, expected, `seed ${seed}`);
    assert.equal(optimizer.defaults.lr, 0.5);

    const scheduler = buildScheduler(proportional[seed % proportional.length], optimizer);
    for (let k = 0; k < 12; k++) {
      const [first, ...others] = optimizer.paramGroups;
      for (const [i, { lr }] of others.entries()) {
        assertClose(
          [lr * expected[0].lr],
          [first.lr * expected[i + 1].lr],
          1e-12,
          `seed ${seed}, step ${k}`,
        );
      }
      const copy = buildOptimizer(config, parameters);
      const resumed = buildScheduler(proportional[seed % proportional.length], copy);
      resumed.loadStateDict(scheduler.stateDict());
      copy.loadStateDict(optimizer.stateDict());
      assert.deepEqual(copy.paramGroups, optimizer.paramGroups, `seed ${seed}, step ${k}`);
      scheduler.step();
    }
    tf.dispose(parameters);
  }
});

for (
  const { type, params, keys } of [
    {
      type: "OneCycleLR",
      params: { max_lr: 0.1, total_steps: 10 },
      keys: {
        initial_lr: 0.1 / 25,
        max_lr: 0.1,
        min_lr: 0.1 / 25 / 1e4,
        max_momentum: 0.95,
        base_momentum: 0.85,
      },
    },
    {
      type: "CyclicLR",
      params: { base_lr: 0.01, max_lr: 0.1, step_size_up: 3, cycle_momentum: false },
      keys: { initial_lr: 0.01, max_lr: 0.1 },
    },
  ]
) {
  test(`corrected_weight_decay takes the peak of ${type}, which stands in the group`, () => {
    const p = tf.variable(tf.tensor([1]));
    const options = { lr: 1e-3, weight_decay: 0.5, corrected_weight_decay: true };
    const optimizer = buildOptimizer({ type: "AdamW", params: options }, { p });
    const scheduler = buildScheduler({ type, params }, optimizer);
    const [group] = optimizer.paramGroups;
    assert.deepEqual(
      Object.keys(group).filter((key) => !(key in optimizer.defaults) && key !== "names").sort(),
      Object.keys(keys).sort(),
    );
    for (const [key, value] of Object.entries(keys)) {
      assertClose([group[key] as number], [value], 1e-15, key);
    }
    let expected = 1;
    for (let k = 0; k < 9; k++) {
      expected *= 1 - 0.5 * group.lr ** 2 / 0.1;
      optimizer.applyGradients({ p: tf.tensor([0]) });
      scheduler.step();
      assertClose(p.dataSync(), [expected], 1e-6, `step ${k}`);
    }
    assert.ok(expected < 0.9, String(expected));
  });
}

// transformers divides by optimizer.defaults["lr"], whatever the groups have.
for (
  const [type, params, ends] of [
    ["polynomial", { lr_end: 1e-4 }, [1e-3, 1e-4]],
    ["cosine_with_min_lr", { min_lr: 1e-4 }, [1e-3, 1e-4]],
    ["cosine_warmup_with_min_lr", { min_lr: 1e-4 }, [1e-3, 1e-4]],
  ] as const
) {
  test(`${type} ends in proportion to the optimizer's own lr, not to the largest group's`, () => {
    const parameters = { a: tf.variable(tf.ones([1])), b: tf.variable(tf.ones([1])) };
    const optimizer = buildOptimizer(
      { type: "SGD", params: { lr: 1e-3 }, groups: [{ match: "a", lr: 1e-2 }] },
      parameters,
    );
    const options = { num_warmup_steps: 0, num_training_steps: 10, ...params };
    const scheduler = buildScheduler({ type, params: options }, optimizer);
    const end = type === "cosine_warmup_with_min_lr" ? 9 : 10;
    assertClose(scheduler.lrAt(end), ends, 1e-15);
    for (let k = 0; k < end; k++) scheduler.step();
    assertClose(scheduler.getLastLr(), ends, 1e-15);
    const chained = buildScheduler(
      { type: "ChainedScheduler", schedulers: [{ type, params: options }] },
      buildOptimizer(
        { type: "SGD", params: { lr: 1e-3 }, groups: [{ match: "a", lr: 1e-2 }] },
        parameters,
      ),
    );
    assertClose(chained.lrAt(end), ends, 1e-15);
    tf.dispose(parameters);
  });
}
