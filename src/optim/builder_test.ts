import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { assertClose } from "../../test/support/close.ts";
import { atLeast, object } from "../core/options.ts";
import { addScaled, gradient, neg, param, scalar } from "../fuse/expression.ts";
import * as tf from "../tensor/tf.ts";
import { buildOptimizer, type OptimizerConfig, singleGroup } from "./builder.ts";
import { elementwise } from "./elementwise.ts";
import { Optimizer } from "./optimizer.ts";
import { registerOptimizer } from "./registry.ts";

await useBackend("cpu");

/** A small transformer's names; frozen.weight is not trainable, tied.weight is embed.weight. */
function model(): Record<string, tf.Variable> {
  const parameters: Record<string, tf.Variable> = {};
  const shapes: Record<string, number[]> = {
    "embed.weight": [3, 2],
    "layers.0.weight": [2, 2],
    "layers.0.bias": [2],
    "layers.1.norm.weight": [1, 2],
    "layers.1.weight": [2, 2],
    "head.weight": [2, 3],
  };
  for (const [name, shape] of Object.entries(shapes)) {
    parameters[name] = tf.variable(tf.ones(shape));
  }
  parameters["frozen.weight"] = tf.variable(tf.ones([2, 2]), false);
  parameters["tied.weight"] = parameters["embed.weight"];
  return parameters;
}

const parameters = model();

const groupsOf = (config: Omit<OptimizerConfig, "type"> & { type?: string }) =>
  buildOptimizer({ type: "AdamW", ...config }, parameters).paramGroups.map((
    { names, lr, weight_decay },
  ) => [names.join(" "), lr, weight_decay]);

test("groups: the first rule that matches a parameter has it, the rest comes last", () => {
  assert.deepEqual(groupsOf({ params: { lr: 0.5 } }), [[
    "embed.weight layers.0.weight layers.0.bias layers.1.norm.weight layers.1.weight head.weight",
    0.5,
    0.01,
  ]]);
  const groups = [
    { match: "^embed\\.", lr: 0.1 },
    { match: ["norm", /\.BIAS$/i], weightDecay: 0 },
    { where: { maxRank: 1 }, lr: 9 },
    { match: "tied", lr: 8 },
    { match: "head", freeze: true },
  ];
  const config = { params: { lr: 0.5, weight_decay: 0.2 }, groups };
  const before = JSON.stringify(config);
  assert.deepEqual(groupsOf(config), [
    ["embed.weight", 0.1, 0.2],
    ["layers.0.bias layers.1.norm.weight", 0.5, 0],
    ["layers.0.weight layers.1.weight", 0.5, 0.2],
  ]);
  assert.equal(JSON.stringify(config), before);
});

test("noDecay and layerDecay split the groups; a group's own weight decay stays", () => {
  const names = ["embed.weight", "layers.0.weight", "layers.1.weight", "head.weight"];
  assert.deepEqual(groupsOf({ noDecay: "auto" }), [
    [names.join(" "), 1e-3, 0.01],
    ["layers.0.bias layers.1.norm.weight", 1e-3, 0],
  ]);
  assert.deepEqual(
    groupsOf({ noDecay: ["^embed", "head"] }),
    [
      ["layers.0.weight layers.0.bias layers.1.norm.weight layers.1.weight", 1e-3, 0.01],
      ["embed.weight head.weight", 1e-3, 0],
    ],
  );
  assert.deepEqual(groupsOf({ noDecay: "auto", groups: [{ match: "norm", weight_decay: 0.3 }] }), [
    ["layers.1.norm.weight", 1e-3, 0.3],
    [names.join(" "), 1e-3, 0.01],
    ["layers.0.bias", 1e-3, 0],
  ]);
  const layerDecay = { rate: 0.5, depthOf: "layers\\.(\\d+)\\." };
  assert.deepEqual(groupsOf({ params: { lr: 1 }, layerDecay, noDecay: "auto" }), [
    ["layers.0.weight", 0.5, 0.01],
    ["layers.0.bias", 0.5, 0],
    ["layers.1.weight", 1, 0.01],
    ["layers.1.norm.weight", 1, 0],
    ["embed.weight head.weight", 1, 0.01],
  ]);
  assert.deepEqual(
    groupsOf({ params: { lr: 1 }, layerDecay: { ...layerDecay, rate: 0.1, minScale: 0.2 } })[0],
    ["layers.0.weight layers.0.bias", 0.2, 0.01],
  );
});

test("a group may have an optimizer of its own; the whole is one optimizer", () => {
  const variables = { a: tf.variable(tf.ones([2])), b: tf.variable(tf.ones([2])) };
  const optimizer = buildOptimizer({
    type: "Adam",
    params: { lr: 0.5 },
    groups: [{ match: "^a$", optimizer: { type: "SGD", params: { lr: 0.25 } } }],
  }, variables);
  const grads = { a: tf.tensor([1, 2]), b: tf.tensor([1, 2]) };
  optimizer.applyGradients(grads);
  assertClose(variables.a.dataSync(), [0.75, 0.5], 1e-7);
  assertClose(variables.b.dataSync(), [0.5, 0.5], 1e-6);
  assert.equal(
    optimizer.summary(),
    [
      "group  type  parameters  tensors  elements    lr  weight_decay",
      "0      SGD   ^a$               1         2  0.25             0",
      "1      Adam  rest              1         2   0.5             0",
    ].join("\n"),
  );
  assert.deepEqual(Object.keys(optimizer.stateDict().state), ["1"]);
  optimizer.dispose();
  tf.dispose([variables, grads]);
});

test("torch spelling, camelCase, BasicTS and torch's module path name the same optimizer", () => {
  const spellings = [
    { type: "AdamW", params: { weight_decay: 0.5, foreach: true, fused: null } },
    { type: "adamw", params: { weightDecay: 0.5 } },
    { type: "torch.optim.AdamW", params: { weight_decay: 0.5 } },
    { TYPE: "AdamW", PARAM: { weight_decay: 0.5 } },
  ];
  const note = console.warn;
  const notes: string[] = [];
  console.warn = (text: string) => notes.push(text);
  for (const config of [...spellings, spellings[0]]) {
    const [group] = buildOptimizer(config as OptimizerConfig, parameters).paramGroups;
    const { names: _, ...options } = group;
    assert.deepEqual(options, {
      lr: 1e-3,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weight_decay: 0.5,
      amsgrad: false,
      maximize: false,
    });
  }
  console.warn = note;
  assert.deepEqual(notes.length, 1);
});

/** Plain gradient descent, as CONTRIBUTING would show it. */
const descent = elementwise<{ lr: number }, Record<string, boolean>>({
  name: "Descent",
  options: object({ lr: atLeast(0).default(0.1) }),
  form: () => ({}),
  scalars: ({ lr }) => ({ lr }),
  update: () => ({ param: addScaled(param, gradient, neg(scalar("lr"))) }),
});

test("registerOptimizer() takes a rule, a function and a class; so does type", () => {
  class Mine extends Optimizer {
    constructor(params: Record<string, unknown>, variables?: Record<string, tf.Variable>) {
      super(singleGroup(descent, params), variables);
    }
  }
  registerOptimizer("Descent", descent);
  registerOptimizer(
    "DescentFunction",
    (params, variables) => new Optimizer(singleGroup(descent, params), variables),
  );
  registerOptimizer("DescentClass", Mine);
  for (const type of ["Descent", "DescentFunction", "DescentClass", descent, Mine]) {
    const w = tf.variable(tf.tensor([1]));
    const grad = tf.tensor([2]);
    const optimizer = buildOptimizer({ type: type as string, params: { lr: 0.25 } }, { w });
    optimizer.applyGradients({ w: grad });
    assert.deepEqual([...w.dataSync()], [0.5]);
    tf.dispose([w, grad]);
  }
});

test("buildOptimizer() names path, rule and value of a bad config", () => {
  const adamw = (rest: Record<string, unknown>) => ({ type: "AdamW", ...rest });
  const params = (options: Record<string, unknown>) => adamw({ params: options });
  const group = (rule: unknown) => adamw({ groups: [{ match: "bias", lr: 1 }, rule] });
  const hostile = JSON.parse('{ "__proto__": 1 }');
  const rows: [unknown, RegExp][] = [
    [null, /^ConfigError: optimizer: must be an object \{ type, params \}, received null$/],
    [{ params: {} }, /^ConfigError: optimizer\.type: is required/],
    [{ type: "AdanW" }, /optimizer\.type: unknown optimizer "AdanW"; did you mean 'AdamW'\?/],
    [{ type: 5 }, /optimizer\.type: must be a registered name \(.*\), received 5$/],
    [{ type: () => 3 }, /optimizer\.type: must make an Optimizer, received 3$/],
    [
      { type: () => 3, groups: [{ match: "a" }] },
      /optimizer\.groups: has no meaning for an optimizer made by a factory, which makes its own groups$/,
    ],
    [
      { type: () => 3, noDecay: "auto" },
      /optimizer\.noDecay: has no meaning for an optimizer made/,
    ],
    [
      { type: "LBFGS", noDecay: "auto" },
      /optimizer\.noDecay: has no meaning for LBFGS, which takes one group, as torch's does$/,
    ],
    [
      { type: "LBFGS", layerDecay: { rate: 0.5, depthOf: "(1)" } },
      /optimizer\.layerDecay: has no meaning for LBFGS, which takes one group/,
    ],
    [
      {
        type: "Lamb",
        groups: [{ match: "bias", max_grad_norm: null }],
      },
      /paramGroups\[1\]\.max_grad_norm: must be the same in all groups of Lamb, received 1 beside null$/,
    ],
    [
      {
        type: "Lamb",
        groups: [{
          match: "bias",
          optimizer: { type: "Lookahead", params: { optimizer: "Lamb", max_grad_norm: 2 } },
        }, { match: "norm", optimizer: { type: "Lamb", params: { max_grad_norm: 2 } } }],
      },
      /paramGroups\[2\]\.max_grad_norm: must be the same in all groups of Lamb, received 1 beside 2$/,
    ],
    [
      { type: "Prodigy", groups: [{ match: "bias", d_coef: 2 }] },
      /paramGroups\[1\]\.d_coef: must be the same in all groups of Prodigy, received 1 beside 2$/,
    ],
    [
      { type: "Prodigy", groups: [{ match: "bias", betas: [0.9, 0.81] }] },
      /paramGroups\[1\]\.beta3: must be the same in all groups of Prodigy, received 0\.999/,
    ],
    [
      { type: "Prodigy", groups: [{ match: "bias", growth_rate: 2 }] },
      /growth_rate: must be the same/,
    ],
    [
      { type: "Prodigy", groups: [{ match: "bias", d0: 2 }] },
      /\.d0: must be the same in all groups/,
    ],
    [
      { type: "Muon", params: { aux: { match: ["("] } } },
      /optimizer\.params\.aux\.match\[0\]: must be a regular expression, received "\("$/,
    ],
    [
      { type: "Muon", params: { aux: { match: ["embed", "hed"] } } },
      /params\.aux\.match\[1\]: matches no parameter name, received "hed"; names: /,
    ],
    [{ type: "SGD", TYPE: "SGD" }, /optimizer\.TYPE: is the same option as "type"/],
    [adamw({ params: [] }), /optimizer\.params: must be an object, received \[\]$/],
    [adamw({ lr: 1 }), /optimizer\.lr: unknown option "lr"/],
    [params({ lr: -1 }), /optimizer\.params\.lr: must be a number >= 0, received -1$/],
    [params({ lr: NaN }), /optimizer\.params\.lr: must be a number >= 0, received NaN$/],
    [params({ lr: "1e-3" }), /optimizer\.params\.lr: must be a number >= 0, received "1e-3"$/],
    [params({ betas: [0.9, 1] }), /params\.betas\[1\]: must be a number in \[0, 1\), received 1$/],
    [params({ betas: 0.9 }), /params\.betas: must be an array of 2 numbers, received 0.9$/],
    [params({ wegiht_decay: 0 }), /unknown option "wegiht_decay" for AdamW; did you mean 'weight_/],
    [params({ weight_decay: 0, weightDecay: 0 }), /weightDecay: is the same option as "weight_d/],
    [params(hostile), /unknown option "__proto__" for AdamW/],
    [{ TYPE: "Adam", PARAM: { eps: -1 } }, /optimizer\.PARAM\.eps: must be a number >= 0/],
    [
      { type: "SGD", params: { nesterov: true } },
      /params\.nesterov: must be false unless momentum > 0 and dampening = 0, received true$/,
    ],
    [
      {
        type: "SGD",
        params: { momentum: 1, nesterov: true },
        groups: [{ match: "a", momentum: 0 }],
      },
      /optimizer\.groups\[0\]\.nesterov: must be false unless/,
    ],
    [adamw({ groups: {} }), /optimizer\.groups: must be an array, received \{\}$/],
    [group(3), /optimizer\.groups\[1\]: must be an object, received 3$/],
    [group({ lr: 1 }), /groups\[1\]: must have match or where, received \{"lr":1\}$/],
    [group({ match: "norm", lr: -5 }), /groups\[1\]\.lr: must be a number >= 0, received -5$/],
    [group({ match: "norm", typo_lr: 1 }), /groups\[1\]\.typo_lr: unknown option "typo_lr" for Ad/],
    [group({ match: "norm", ...hostile }), /groups\[1\]\.__proto__: unknown option "__proto__"/],
    [
      group({ match: "decoder" }),
      /groups\[1\]\.match: matches no parameter name, received "decode/,
    ],
    [group({ match: ["norm", "nrom"] }), /groups\[1\]\.match\[1\]: matches no parameter name/],
    [group({ match: "(" }), /groups\[1\]\.match: must be a regular expression, received "\("/],
    [group({ match: [] }), /groups\[1\]\.match: must hold at least one regular expression$/],
    [group({ match: 7 }), /groups\[1\]\.match: must be a regular expression, received 7$/],
    [group({ where: { rank: 1 } }), /groups\[1\]\.where\.rank: unknown option "rank"/],
    [group({ where: { maxRank: -1 } }), /where\.maxRank: must be an integer >= 0, received -1$/],
    [
      group({ match: "norm", freeze: 1 }),
      /groups\[1\]\.freeze: must be true or false, received 1$/,
    ],
    [group({ match: "norm", freeze: true, lr: 1 }), /\[1\]\.lr: has no meaning in a frozen group$/],
    [
      group({ match: "norm", optimizer: { type: "SGD" }, lr: 1 }),
      /groups\[1\]\.lr: belongs into the group's optimizer\.params$/,
    ],
    [
      group({ match: "norm", optimizer: { type: "SGD", params: { momentum: -1 } } }),
      /optimizer\.groups\[1\]\.optimizer\.params\.momentum: must be a number >= 0, received -1$/,
    ],
    [group({ match: "norm", optimizer: "SGD" }), /groups\[1\]\.optimizer: must be an object/],
    [adamw({ groups: [{ match: ".", freeze: true }] }), /^ConfigError: optimizer: has nothing to/],
    [adamw({ noDecay: "always" }), /optimizer\.noDecay: must be "auto", "none" or an array of re/],
    [adamw({ noDecay: ["nrom"] }), /optimizer\.noDecay\[0\]: matches no parameter name/],
    [{ type: "Descent", noDecay: "auto" }, /noDecay: has no meaning for Descent, which has no we/],
    [adamw({ layerDecay: { rate: 0, depthOf: "(1)" } }), /layerDecay\.rate: must be a number > 0/],
    [adamw({ layerDecay: { rate: 1 } }), /layerDecay\.depthOf: must be a regular expression/],
    [
      adamw({ layerDecay: { rate: 1, depthOf: "layers" } }),
      /layerDecay\.depthOf: must capture a layer number, for example 'layers\\\.\(\\d\+\)\\\.'/,
    ],
  ];
  for (const [config, message] of rows) {
    assert.throws(() => buildOptimizer(config as OptimizerConfig, parameters), message);
  }
  const config = { type: "SGD" };
  assert.throws(
    () => buildOptimizer(config, { w: tf.ones([2]) as tf.Variable }),
    /parameters\.w: must be a tf\.Variable/,
  );
  assert.throws(() => buildOptimizer(config, {}), /parameters: must hold at least one variable/);
  const frozen = { w: parameters["frozen.weight"] };
  assert.throws(() => buildOptimizer(config, frozen), /has nothing to train: every parameter is f/);
});
