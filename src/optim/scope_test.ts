/**
 * Every optimizer once by the engine and once by hand: cut as far as its scope says that an update may
 * be cut. Both must give the same bits.
 */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { optimizerConfigs } from "../../test/support/optimizer_configs.ts";
import { randomStream } from "../core/random.ts";
import { updateMemory } from "../fuse/memory.ts";
import * as tf from "../tensor/tf.ts";
import { buildOptimizer, type OptimizerConfig } from "./builder.ts";
import type { Optimizer, Unit } from "./optimizer.ts";
import { registeredOptimizers } from "./registry.ts";
import { type ParameterState, scopeOf, type UpdateScope } from "./rule.ts";

const SCALE = 0.5;

const shapes: Record<string, number[]> = { large: [97, 89], vector: [65] };

type Params = Record<string, unknown>;

/** Beside the registry's: options that switch forms, and the scope that is expected. */
const variants: readonly [type: string, params: Params, scope: UpdateScope][] = [
  ["SGD", { lr: 0.05 }, "element"],
  ["SGD", { lr: 0.05, momentum: 0.9, nesterov: true, weight_decay: 0.1 }, "element"],
  ["SGD", { lr: 0.05, momentum: 0.9, maximize: true }, "element"],
  ["Adam", { lr: 0.05, amsgrad: true, weight_decay: 0.1 }, "element"],
  ["Adam", { lr: 0.05, weight_decay: 0.1, decoupled_weight_decay: true }, "element"],
  ["AdamW", { lr: 0.05, cautious_weight_decay: true, corrected_weight_decay: true }, "element"],
  ["AdamW", { lr: 0.05, cautious: true }, "parameter"],
  ["AdamW", { lr: 0.05, amsgrad: true, maximize: true }, "element"],
  ["Adan", { lr: 0.05, weight_decay: 0.1, no_prox: true }, "element"],
  ["AdEMAMix", { lr: 0.05, betas: [0, 0.999, 0.9999] }, "element"],
  ["Lion", { lr: 0.05, cautious: true }, "parameter"],
  ["Lion", { lr: 0.05, weight_decay: 0.1 }, "element"],
  ["RMSprop", { lr: 0.05, centered: false, momentum: 0 }, "element"],
  ["RMSprop", { lr: 0.05, centered: true }, "element"],
  ["NAdam", { lr: 0.05, decoupled_weight_decay: true, weight_decay: 0.1 }, "element"],
  ["Lamb", { lr: 0.05, max_grad_norm: null }, "parameter"],
  ["Lamb", { lr: 0.05, max_grad_norm: null, weight_decay: 0 }, "element"],
  ["Lamb", { lr: 0.05, max_grad_norm: null, weight_decay: 0, always_adapt: true }, "parameter"],
  ["Lamb", { lr: 0.05, max_grad_norm: 1 }, "model"],
  ["Lookahead", { k: 2, optimizer: { type: "Lamb", params: {} } }, "model"],
  ["Lookahead", { k: 2, optimizer: { type: "Prodigy", params: { d0: 1e-2 } } }, "model"],
  ["Lookahead", { k: 2, optimizer: { type: "Adafactor", params: {} } }, "parameter"],
  ["Lookahead", { k: 3, optimizer: { type: "SGD", params: { lr: 0.1 } } }, "element"],
  ["SAM", { optimizer: { type: "AdamW", params: { lr: 0.05, cautious: true } } }, "parameter"],
];

/** The scope of the configs that every property of optimizers is tested with. */
const scopes: Record<string, UpdateScope> = {
  Adafactor: "parameter",
  Lamb: "model",
  LBFGS: "model",
  Muon: "parameter",
  Prodigy: "model",
};

const rows: readonly (readonly [OptimizerConfig & { params: Params }, UpdateScope])[] = [
  ...optimizerConfigs.map((config) => [config, scopes[config.type] ?? "element"] as const),
  ...variants.map(([type, params, scope]) => [{ type, params }, scope] as const),
];

function variables(): Record<string, tf.Variable> {
  const entries = Object.entries(shapes).map(([name, shape]) => {
    const values = randomStream(3, name).normal(new Float32Array(tf.util.sizeFromShape(shape)));
    return [name, tf.tidy(() => tf.variable(tf.tensor(values, shape)))];
  });
  return Object.fromEntries(entries);
}

function gradientsAt(step: number): Record<string, tf.Tensor> {
  const entries = Object.entries(shapes).map(([name, shape]) => {
    const values = randomStream(5, name, step).normal(
      new Float32Array(tf.util.sizeFromShape(shape)),
    );
    return [name, tf.tensor(values, shape)];
  });
  return Object.fromEntries(entries);
}

/** Updates one parameter outside the engine. */
interface Hand {
  update(gradient: tf.Tensor): void;
  /** The parameter, the slots by name, the numbers. */
  result(): [Float32Array, Record<string, Float32Array>, Record<string, number>];
}

/** Whole, by the rule. */
function wholeByHand(optimizer: Optimizer, unit: Unit): Hand {
  const { name, param, rule, baseLr } = unit;
  const options = optimizer.paramGroups[unit.group];
  const state: ParameterState = { numbers: { ...rule.numbers?.(options) }, slots: {} };
  return {
    update(gradient) {
      const first = optimizer.initialSlots(unit, Object.keys(state.slots));
      for (const slot in first) state.slots[slot] = tf.variable(first[slot], false);
      const created = new Set(Object.keys(first));
      tf.dispose(first);
      rule.step([{ name, param, gradient, scale: SCALE, options, state, created, baseLr }], {});
    },
    result() {
      const slots = Object.entries(state.slots).map(([slot, v]) => [slot, v.dataSync().slice()]);
      const values = param.dataSync().slice() as Float32Array;
      tf.dispose(state.slots);
      return [values, Object.fromEntries(slots), state.numbers];
    },
  };
}

/** In two slices from one half of a shared memory to the other, by the plan. */
function slicesByHand(optimizer: Optimizer, unit: Unit): Hand {
  const { rule, baseLr, param: { size } } = unit;
  const options = optimizer.paramGroups[unit.group];
  const numbers = { ...rule.numbers?.(options) };
  const names = [...Object.keys(rule.slots), "param"];
  const pages = Math.ceil(4 * size * (2 * names.length + 1) / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const known: string[] = [];
  const addressOf = (name: string, half: number): number =>
    4 * size * (1 + names.indexOf(name) + half * names.length);
  const at = (address: number): Float32Array => new Float32Array(memory.buffer, address, size);
  let now = 0;
  at(addressOf("param", now)).set(unit.param.dataSync());
  return {
    update(gradient) {
      const first = optimizer.initialSlots(unit, known);
      for (const slot in first) at(addressOf(slot, now)).set(first[slot].dataSync());
      known.push(...Object.keys(first));
      at(0).set(gradient.dataSync());
      const created = new Set(Object.keys(first));
      tf.dispose(first);
      const { update, scalars } = rule.plan!({ options, numbers, created, baseLr });
      const places = (half: number, start: number) => ({
        param: addressOf("param", half) + 4 * start,
        slots: Object.fromEntries(known.map((slot) => [slot, addressOf(slot, half) + 4 * start])),
      });
      const cut = Math.floor(size / 3);
      for (const [start, end] of [[cut, size], [0, cut]]) {
        const operands = { ...places(now, start), gradient: 4 * start, scale: SCALE, scalars };
        updateMemory(update, memory, operands, end - start, places(1 - now, start));
      }
      now = 1 - now;
    },
    result() {
      const slots = known.map((slot) => [slot, at(addressOf(slot, now)).slice()]);
      return [at(addressOf("param", now)).slice(), Object.fromEntries(slots), numbers];
    },
  };
}

test("the registered optimizers are all in the table", () => {
  const types = new Set(rows.map(([{ type }]) => type));
  assert.deepEqual(registeredOptimizers().map(({ name }) => name).filter((n) => !types.has(n)), []);
});

for (const backend of ["cpu", "wasm"] as const) {
  for (const [config, scope] of rows) {
    const { type, params } = config;
    const title = `${type} ${JSON.stringify(params)}`;
    test(`${title}: an update cut to its scope gives the engine's bits on ${backend}`, async () => {
      await useBackend(backend);
      const whole = variables(), cut = variables();
      const engine = buildOptimizer(config, whole);
      const other = buildOptimizer(config, cut);
      const units = other.units();
      assert.deepEqual(units.map(({ name }) => name).sort(), Object.keys(shapes));
      for (const { rule, group } of units) {
        // Muon leaves what is no matrix to AdamW.
        const expected = rule.name === "AdamW" && type === "Muon" ? "element" : scope;
        assert.equal(scopeOf(rule, other.paramGroups[group]), expected);
      }
      if (scope !== "model") {
        const hands = units.map((unit) => {
          const { rule, group } = unit;
          const elements = scopeOf(rule, other.paramGroups[group]) === "element";
          return (elements ? slicesByHand : wholeByHand)(other, unit);
        });
        for (let step = 0; step < 5; step++) {
          const gradients = gradientsAt(step);
          for (const { paramGroups } of [engine, other]) {
            if (step === 3) { for (const group of paramGroups) group.lr *= 0.5; }
          }
          if (engine.perturbs) engine.perturb(gradients);
          engine.applyGradients(gradients, { scale: SCALE });
          // The last parameter first: each update stands for itself.
          [...units].reverse().forEach(({ name }, i) =>
            hands[units.length - 1 - i].update(gradients[name])
          );
          tf.dispose(gradients);
        }
        engine.units().forEach(({ name, param, state }, i) => {
          const [values, slots, numbers] = hands[i].result();
          assert.deepEqual(param.dataSync(), values, name);
          assert.deepEqual(Object.keys(state!.slots).sort(), Object.keys(slots).sort());
          for (const slot in slots) assert.deepEqual(state!.slots[slot].dataSync(), slots[slot]);
          assert.deepEqual(state!.numbers, numbers);
        });
      }
      engine.dispose();
      other.dispose();
      tf.dispose([whole, cut]);
    });
  }
}
