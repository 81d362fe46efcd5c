/** Every optimizer makes with workers, to the bit, the updates that it makes in process. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { IterationRunner, type RunConfig } from "../../mod.ts";
import { optimizerConfigs } from "../support/optimizer_configs.ts";
import { Lines, type Overrides } from "../support/runs.ts";
import { assertSame, imports, once, partsConfig, runOf } from "./support.ts";

/** Take more than one gradient an update. */
const closures = ["ASAM", "LBFGS", "SAM"];

/** Beside the registry's: whole parameters and whole models inside a wrapper. */
const more: typeof optimizerConfigs = [
  { type: "Lookahead", params: { k: 2, optimizer: { type: "Adafactor", params: {} } } },
  { type: "Lookahead", params: { k: 2, optimizer: { type: "Prodigy", params: { d0: 1e-2 } } } },
  { type: "AdamW", params: { lr: 0.05, cautious: true } },
];

const rows = [...optimizerConfigs.filter(({ type }) => !closures.includes(type)), ...more];

/** One tower for each type, so that one run has them all. */
function together(workers: number): RunConfig {
  return partsConfig({
    workers,
    model: { type: "TestParts", params: { towers: rows.length + 1 } },
    optimizer: {
      type: "SGD",
      params: { lr: 0.05, momentum: 0.9 },
      noDecay: "auto",
      groups: [
        { match: "frozen$", freeze: true },
        ...rows.map((optimizer, t) => ({ match: `^tower${t}\\.`, optimizer })),
      ],
    },
    scheduler: { type: "StepLR", params: { step_size: 2, gamma: 0.5 } },
    callbacks: [{ type: "AuxiliaryLoss", params: { weight: 0.1 } }],
  });
}

test(`${rows.length} optimizers: 3 workers leave the bytes of 1`, async () => {
  const one = await runOf(together(1));
  const three = await runOf(together(3));
  assertSame(one, three, "3 workers");
  assert.deepEqual(one.summary.iterations, 4);
});

/** Those whose model is not made of groups, or has options that groups must share. */
const alone: { type: string; params: Record<string, unknown> }[] = [
  { type: "Prodigy", params: { d0: 1e-2 } },
  { type: "Lamb", params: { lr: 0.05, max_grad_norm: null } },
  { type: "Muon", params: { lr: 0.05, aux: { lr: 0.05 } } },
];

for (const optimizer of alone) {
  test(`${optimizer.type} of a whole model: 2 workers leave the bytes of 1`, once, async () => {
    const config = (workers: number) => partsConfig({ workers, optimizer });
    assertSame(await runOf(config(1)), await runOf(config(2)), optimizer.type);
  });
}

const refused: [title: string, overrides: Overrides, message: RegExp][] = [
  ...["SAM", "ASAM"].map((type): [string, Overrides, RegExp] => [
    type,
    { optimizer: { type, params: { optimizer: { type: "SGD", params: { lr: 0.1 } } } } },
    new RegExp(
      `^workers: must be 1 for ${type}, whose update takes more than one gradient, received 2$`,
    ),
  ]),
  [
    "LBFGS",
    { optimizer: { type: "LBFGS" } },
    /^optimizer\.type: LBFGS needs step\(closure\) .* have, with workers or without$/,
  ],
];

for (const [title, overrides, message] of refused) {
  test(`${title} is refused in a line`, async () => {
    const created = IterationRunner.create(partsConfig({ ...overrides, workers: 2 }), {
      imports,
      output: new Lines(),
    });
    await assert.rejects(created, { name: "ConfigError", message });
  });
}
