import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { assertClose } from "../../test/support/close.ts";
import * as tf from "../tensor/tf.ts";
import { buildOptimizer, type OptimizerConfig } from "./builder.ts";
import type { Optimizer } from "./optimizer.ts";
import { registerOptimizer } from "./registry.ts";
import { sgd } from "./sgd.ts";

await useBackend("cpu");

/** A type, its defaults, and params it must refuse with the end of the message. */
const rows: [string, Record<string, unknown>, [Record<string, unknown>, RegExp][]][] = [
  ["SGD", {
    lr: 1e-3,
    momentum: 0,
    dampening: 0,
    weight_decay: 0,
    nesterov: false,
    maximize: false,
  }, [
    [{ momentum: -1 }, /momentum: must be a number >= 0, received -1$/],
    [{ weightDecay: -1 }, /weightDecay: must be a number >= 0, received -1$/],
    [{ nesterov: true }, /nesterov: must be false unless momentum > 0 and dampening = 0/],
    [{ nesterov: true, momentum: 0.9, dampening: 0.1 }, /nesterov: must be false unless/],
    [{ lr: NaN }, /lr: must be a number >= 0, received NaN$/],
  ]],
  ["Adam", {
    lr: 1e-3,
    betas: [0.9, 0.999],
    eps: 1e-8,
    weight_decay: 0,
    amsgrad: false,
    maximize: false,
    decoupled_weight_decay: false,
  }, [
    [{ betas: [0.9, 1] }, /betas\[1\]: must be a number in \[0, 1\), received 1$/],
    [{ betas: [0.9] }, /betas: must be an array of 2 numbers, received \[0\.9\]$/],
    [{ eps: -1 }, /eps: must be a number >= 0, received -1$/],
    [{ cautious_weight_decay: true }, /decoupled_weight_decay: must be true for cautious_weight_d/],
  ]],
  ["AdamW", {
    lr: 1e-3,
    betas: [0.9, 0.999],
    eps: 1e-8,
    weight_decay: 1e-2,
    amsgrad: false,
    maximize: false,
  }, [
    [{ decoupled_weight_decay: true }, /unknown option "decoupled_weight_decay" for AdamW/],
  ]],
  ["Adamax", { lr: 2e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0, maximize: false }, []],
  ["NAdam", {
    lr: 2e-3,
    betas: [0.9, 0.999],
    eps: 1e-8,
    weight_decay: 0,
    momentum_decay: 4e-3,
    decoupled_weight_decay: false,
    maximize: false,
  }, [[{ momentumDecay: -1 }, /momentumDecay: must be a number >= 0, received -1$/]]],
  ["RAdam", {
    lr: 1e-3,
    betas: [0.9, 0.999],
    eps: 1e-8,
    weight_decay: 0,
    decoupled_weight_decay: false,
    maximize: false,
  }, []],
  ["RMSprop", {
    lr: 1e-2,
    alpha: 0.99,
    eps: 1e-8,
    weight_decay: 0,
    momentum: 0,
    centered: false,
    maximize: false,
  }, [[{ alpha: -0.1 }, /alpha: must be a number >= 0, received -0\.1$/]]],
  ["Rprop", { lr: 1e-2, etas: [0.5, 1.2], step_sizes: [1e-6, 50], maximize: false }, [
    [{ etas: [0, 1.2] }, /etas\[0\]: must be a number in \(0, 1\), received 0$/],
    [{ etas: [0.5, 1] }, /etas\[1\]: must be a number > 1, received 1$/],
    [{ weight_decay: 0 }, /unknown option "weight_decay" for Rprop/],
  ]],
  ["ASGD", { lr: 1e-2, lambd: 1e-4, alpha: 0.75, t0: 1e6, weight_decay: 0, maximize: false }, []],
  ["Adadelta", { lr: 1, rho: 0.9, eps: 1e-6, weight_decay: 0, maximize: false }, [
    [{ rho: 1.1 }, /rho: must be a number in \[0, 1\], received 1\.1$/],
  ]],
  ["Adagrad", {
    lr: 1e-2,
    lr_decay: 0,
    weight_decay: 0,
    initial_accumulator_value: 0,
    eps: 1e-10,
    maximize: false,
  }, [[{ lrDecay: -1 }, /lrDecay: must be a number >= 0, received -1$/]]],
  ["Adafactor", {
    lr: 1e-2,
    beta2_decay: -0.8,
    eps: [null, 1e-3],
    d: 1,
    weight_decay: 0,
    maximize: false,
  }, [
    [{ beta2_decay: 0.1 }, /beta2_decay: must be a number <= 0, received 0\.1$/],
    [{ d: 0.5 }, /d: must be a number >= 1, received 0\.5$/],
    [{ eps: [-1, 1] }, /eps\[0\]: must be a number >= 0, received -1$/],
  ]],
  ["Muon", {
    lr: 1e-3,
    weight_decay: 0.1,
    momentum: 0.95,
    nesterov: true,
    ns_coefficients: [3.4445, -4.775, 2.0315],
    eps: 1e-7,
    ns_steps: 5,
    adjust_lr_fn: null,
    layout: "torch",
    maximize: false,
  }, [
    [{ ns_steps: 100 }, /ns_steps: must be an integer in \[0, 100\), received 100$/],
    [{ ns_coefficients: [1, 2] }, /ns_coefficients: must be an array of 3 numbers, received/],
    [{ adjust_lr_fn: "x" }, /adjust_lr_fn: must be one of "original", "match_rms_adamw", /],
    [{ aux: { lr: -1 } }, /aux\.lr: must be a number >= 0, received -1$/],
  ]],
  ["LBFGS", {
    lr: 1,
    max_iter: 20,
    max_eval: null,
    tolerance_grad: 1e-7,
    tolerance_change: 1e-9,
    history_size: 100,
    line_search_fn: null,
    maximize: false,
  }, [[{ line_search_fn: "wolfe" }, /line_search_fn: must be one of "strong_wolfe", received/]]],
  ["Lamb", {
    lr: 1e-3,
    bias_correction: true,
    betas: [0.9, 0.999],
    eps: 1e-6,
    weight_decay: 0.01,
    grad_averaging: true,
    max_grad_norm: 1,
    trust_clip: false,
    always_adapt: false,
    maximize: false,
  }, []],
  ["Prodigy", {
    lr: 1,
    betas: [0.9, 0.999],
    beta3: null,
    eps: 1e-8,
    weight_decay: 0,
    decouple: true,
    use_bias_correction: false,
    safeguard_warmup: false,
    d0: 1e-6,
    d_coef: 1,
    growth_rate: "inf",
    slice_p: 1,
    maximize: false,
  }, [[{ d0: 0 }, /d0: must be a number > 0, received 0$/]]],
  ["SGDScheduleFree", {
    lr: 1,
    momentum: 0.9,
    weight_decay: 0,
    warmup_steps: 0,
    r: 0,
    weight_lr_power: 2,
    maximize: false,
  }, [[{ momentum: 1 }, /momentum: must be a number in \(0, 1\), received 1$/]]],
];

const parameters = { w: tf.variable(tf.ones([2, 2])) };

for (const [type, defaults, refusals] of rows) {
  test(`${type} has torch's or its authors' defaults and refuses what is out of range`, () => {
    const { names: _, train_mode: __, ...options } =
      buildOptimizer({ type }, parameters).paramGroups[0];
    assert.deepEqual(options, defaults);
    for (const [params, message] of refusals) {
      assert.throws(() => buildOptimizer({ type, params }, parameters), message);
    }
  });
}

test("further names find the same types, and SparseAdam is refused in one line", () => {
  const names = [
    ...["torch.optim.Adafactor", "adafactor", "schedule_free_adamw", "ScheduleFreeSGD"],
    ...["AdamWnanoGPT", "lion", "ADEMAMIX", "torch.optim.adam.Adam"],
    ...["torch.optim._adafactor.Adafactor", "torch.optim.lbfgs.LBFGS"],
  ];
  for (const type of names) buildOptimizer({ type }, parameters);
  for (
    const type of ["SparseAdam", "torch.optim.SparseAdam", "torch.optim.sparse_adam.SparseAdam"]
  ) {
    assert.throws(
      () => buildOptimizer({ type }, parameters),
      /^ConfigError: optimizer\.type: SparseAdam needs row-sparse gradients, which tfjs does not make; the nearest is Adam, which treats every row as present$/,
    );
  }
});

test("registerOptimizer() says what it takes", () => {
  assert.throws(
    () => registerOptimizer("1st", sgd),
    /^ConfigError: cannot register an optimizer: the name must match .*, received "1st"$/,
  );
  assert.throws(
    () => registerOptimizer("Thing", { name: "Thing" } as never),
    /^ConfigError: cannot register the optimizer Thing: must be a rule, wrapper, class or function, received /,
  );
});

test("AdamWnanoGPT decays matrices and what has more axes, in this order of groups", () => {
  const all = {
    bias: tf.variable(tf.ones([2])),
    kernel: tf.variable(tf.ones([2, 2, 1])),
    ...parameters,
    off: tf.variable(tf.ones([2, 2]), false),
  };
  const optimizer = buildOptimizer({ type: "AdamWnanoGPT", params: { weight_decay: 0.1 } }, all);
  assert.deepEqual(optimizer.paramGroups.map(({ names, weight_decay }) => [names, weight_decay]), [
    [["kernel", "w"], 0.1],
    [["bias"], 0],
  ]);
  assert.match(optimizer.summary(), /AdamWnanoGPT +all; rank >= 2 /);
});

test("wrappers take the base as an object, as BasicTS, or as a name beside its options", () => {
  const same: OptimizerConfig[] = [
    { type: "SAM", params: { rho: 0.1, optimizer: { type: "SGD", params: { lr: 0.2 } } } },
    { type: "SAM", params: { rho: 0.1, optimizer: { TYPE: "SGD", PARAM: { lr: 0.2 } } } },
    { type: "SAM", params: { rho: 0.1, base_optimizer: "SGD", lr: 0.2 } },
  ];
  for (const config of same) {
    const [{ names: _, ...options }] = buildOptimizer(config, parameters).paramGroups;
    assert.deepEqual(options, {
      lr: 0.2,
      momentum: 0,
      dampening: 0,
      weight_decay: 0,
      nesterov: false,
      maximize: false,
      rho: 0.1,
      adaptive: false,
    });
  }
  const nested = buildOptimizer({
    type: "SAM",
    params: {
      optimizer: {
        type: "Lookahead",
        params: { k: 3, optimizer: { type: "Muon", params: { aux: true } } },
      },
    },
    groups: [{ match: "b", rho: 0.5, lookahead_alpha: 0.25 }],
  }, { ...parameters, b: tf.variable(tf.ones([2])), c: tf.variable(tf.ones([3])) });
  assert.deepEqual(
    nested.paramGroups.map((
      g,
    ) => [g.names[0], g.rho, g.lookahead_k, g.lookahead_alpha, g.momentum]),
    [["b", 0.5, 3, 0.25, undefined], ["w", 0.05, 3, 0.5, 0.95], ["c", 0.05, 3, 0.5, undefined]],
  );
  const bad: [OptimizerConfig, RegExp][] = [
    [
      { type: "SAM" },
      /optimizer\.params\.optimizer: is required: the optimizer that SAM steps with/,
    ],
    [
      { type: "SAM", params: { optimizer: { type: "SGD", params: { lr: -1 } } } },
      /^ConfigError: optimizer\.params\.optimizer\.params\.lr: must be a number >= 0, received -1$/,
    ],
    [
      { type: "SAM", params: { optimizer: "SGD", rh: 1 } },
      /unknown option "rh" .*did you mean 'rho'/,
    ],
    [
      { type: "SAM", params: { optimizer: { type: "SGD" }, lr: 1 } },
      /optimizer\.params\.lr: unknown option "lr" for SAM/,
    ],
    [
      { type: "SAM", params: { optimizer: "LBFGS" } },
      /optimizer: must be an optimizer with a rule$/,
    ],
    [
      { type: "Lookahead", params: { optimizer: "SGD", k: 1, lookahead_k: 2 } },
      /lookahead_k: is the same option as "lookahead_k", received both$/,
    ],
  ];
  for (const [config, message] of bad) {
    assert.throws(() => buildOptimizer(config, parameters), message);
  }
});

test("SAM refuses an update without a second gradient, and restore() gives it up", () => {
  const w = tf.variable(tf.tensor([1, -2]));
  const optimizer: Optimizer = buildOptimizer(
    { type: "SAM", params: { rho: 1, optimizer: { type: "SGD", params: { lr: 0.5 } } } },
    { w },
  );
  const grad = tf.tensor([3, 4]);
  assert.ok(optimizer.needsClosure && optimizer.perturbs);
  assert.throws(
    () => optimizer.applyGradients({ w: grad }),
    /optimizer: takes its gradient at perturbed parameters: use step\(closure\), or perturb\(/,
  );
  optimizer.perturb({ w: grad }, { scale: 0.5 });
  assertClose(w.dataSync(), [1.6, -1.2], 1e-7);
  optimizer.restore();
  assert.deepEqual([...w.dataSync()], [1, -2]);
  optimizer.perturb({ w: grad });
  optimizer.applyGradients({ w: grad });
  assert.deepEqual([...w.dataSync()], [-0.5, -4]);
  optimizer.dispose();
  tf.dispose([w, grad]);
});

test("Schedule-Free refuses updates in evaluation mode, which a saved state remembers", () => {
  const config = { type: "AdamWScheduleFree", params: { lr: 0.1 } };
  const w = tf.variable(tf.tensor([1, -2]));
  const optimizer = buildOptimizer(config, { w });
  for (const g of [[1, 2], [3, -1], [0.5, 4]]) optimizer.applyGradients({ w: tf.tensor(g) });
  const raw = [...w.dataSync()];
  optimizer.eval();
  optimizer.eval();
  const average = [...w.dataSync()];
  assert.notDeepEqual(average, raw);
  assert.throws(
    () => optimizer.applyGradients({ w: tf.tensor([1, 1]) }),
    /optimizer: is in evaluation mode: call train\(\) before an update$/,
  );
  const copy = tf.variable(tf.tensor(average));
  const loaded = buildOptimizer(config, { w: copy });
  loaded.loadStateDict(optimizer.stateDict());
  assert.equal(loaded.paramGroups[0].train_mode, false);
  loaded.train();
  optimizer.train();
  assert.deepEqual([...w.dataSync()], raw);
  assert.ok([...copy.dataSync()].every((x, i) => Math.abs(x - raw[i]) < 1e-6));
});

test("Prodigy needs one rate for all groups, or 0, where nothing moves", () => {
  const [a, b] = [tf.variable(tf.tensor([1, 2])), tf.variable(tf.tensor([3]))];
  const optimizer = buildOptimizer({ type: "Prodigy", groups: [{ match: "b", lr: 0 }] }, { a, b });
  const grads = { a: tf.tensor([1, 1]), b: tf.tensor([1]) };
  optimizer.applyGradients(grads);
  assert.deepEqual([...b.dataSync()], [3]);
  assert.notDeepEqual([...a.dataSync()], [1, 2]);
  optimizer.paramGroups[0].lr = 0.5;
  assert.throws(
    () => optimizer.applyGradients(grads),
    /^ConfigError: paramGroups: of Prodigy must have one lr, or 0, received 0\.5 and 1$/,
  );
});

test("state that an option needs is made when the option is switched on", () => {
  const cases: [string, Record<string, unknown>, string][] = [
    ["Adam", { amsgrad: true }, "max_exp_avg_sq"],
    ["RMSprop", { momentum: 0.9 }, "momentum_buffer"],
    ["RMSprop", { centered: true }, "grad_avg"],
    ["SGD", { momentum: 0.9 }, "momentum_buffer"],
  ];
  for (const [type, options, slot] of cases) {
    const w = tf.variable(tf.ones([2]));
    const optimizer = buildOptimizer({ type }, { w });
    const grad = tf.tensor([1, -1]);
    optimizer.applyGradients({ w: grad });
    assert.ok(!Object.hasOwn(optimizer.stateDict().state[0] ?? {}, slot));
    Object.assign(optimizer.paramGroups[0], options);
    optimizer.applyGradients({ w: grad });
    assert.ok(optimizer.stateDict().state[0][slot] instanceof tf.Tensor, type);
    optimizer.dispose();
    tf.dispose([w, grad]);
  }
});
