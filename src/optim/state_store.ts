/** What an optimizer keeps: the state of each parameter, and the scalars that a rule's share. */
import * as tf from "../tensor/tf.ts";
import type { OptimizerRule, ParameterState, Slot } from "./rule.ts";
import type { HostTensor, LoadedState } from "./state_dict.ts";

type Options = Record<string, unknown>;

/** Owns the variables of the state. */
export class StateStore {
  readonly #parameters = new Map<string, ParameterState>();
  readonly #shared = new Map<OptimizerRule, Record<string, tf.Variable>>();

  /** The state of a parameter, once it has had a gradient. */
  of(name: string): ParameterState | undefined {
    return this.#parameters.get(name);
  }

  /** What all parameters of a rule share, once one has had a gradient. */
  get shared(): ReadonlyMap<OptimizerRule, Readonly<Record<string, tf.Variable>>> {
    return this.#shared;
  }

  /** The state of a parameter, with every slot that its options now need. */
  ready(
    name: string,
    param: tf.Variable,
    rule: OptimizerRule,
    options: Options,
  ): { state: ParameterState; created: Set<string> } {
    let state = this.#parameters.get(name);
    if (state === undefined) {
      this.#parameters.set(name, state = { numbers: { ...rule.numbers?.(options) }, slots: {} });
    }
    const created = new Set<string>();
    for (const [key, slot] of Object.entries(rule.slots)) {
      if (state.slots[key] !== undefined || !needs(slot, options, param)) continue;
      state.slots[key] = tf.tidy(() => tf.variable(firstValue(slot, options, param), false));
      created.add(key);
    }
    return { state, created };
  }

  /**
   * Takes an update's part in the state back.
   *
   * @param numbers Those before it, undefined if it made the state.
   */
  takeBack(
    name: string,
    created: ReadonlySet<string>,
    numbers: Record<string, number> | undefined,
  ): void {
    const state = this.#parameters.get(name)!;
    for (const slot of created) {
      state.slots[slot].dispose();
      delete state.slots[slot];
    }
    if (numbers === undefined) this.#parameters.delete(name);
    else Object.assign(state.numbers, numbers);
  }

  /** What the parameters of `rule` share, made with these options if it is not there. */
  readyShared(rule: OptimizerRule, options: Options): Readonly<Record<string, tf.Variable>> {
    let shared = this.#shared.get(rule);
    if (shared === undefined) {
      const initial = Object.entries(rule.shared ?? {});
      shared = Object.fromEntries(initial.map(([key, value]) => [
        key,
        tf.tidy(() => tf.variable(tf.scalar(value(options)), false)),
      ]));
      if (initial.length > 0) this.#shared.set(rule, shared);
    }
    return shared;
  }

  /** Takes over checked state; copies first, since the source may be this state itself. */
  load(loaded: LoadedState): void {
    const fresh = [...loaded.parameters].map(([name, { numbers, slots }]) => {
      const variables: Record<string, tf.Variable> = {};
      for (const [key, value] of slots) {
        variables[key] = tf.tidy(() => tf.variable(toTensor(value), false));
      }
      return [name, { numbers, slots: variables }] as const;
    });
    const shared = [...loaded.shared].map(([rule, values]) =>
      [
        rule,
        Object.fromEntries(
          Object.entries(values).map(([key, value]) => [
            key,
            tf.tidy(() => tf.variable(tf.reshape(toTensor(value), []), false)),
          ]),
        ),
      ] as const
    );
    this.clear();
    for (const [name, state] of fresh) this.#parameters.set(name, state);
    for (const [rule, variables] of shared) this.#shared.set(rule, variables);
  }

  /** Frees everything. */
  clear(): void {
    for (const { slots } of this.#parameters.values()) tf.dispose(slots);
    this.#parameters.clear();
    for (const shared of this.#shared.values()) tf.dispose(shared);
    this.#shared.clear();
  }
}

/** The names of the slots that a parameter needs under these options. */
export function slotNames(rule: OptimizerRule, options: Options, param: tf.Variable): string[] {
  return Object.keys(rule.slots).filter((key) => needs(rule.slots[key], options, param));
}

/** The slots that a parameter needs under these options beside `known`, as new tensors. */
export function firstSlots(
  rule: OptimizerRule,
  options: Options,
  param: tf.Variable,
  known: readonly string[],
): Record<string, tf.Tensor> {
  const missing = slotNames(rule, options, param).filter((key) => !known.includes(key));
  return tf.tidy(() =>
    Object.fromEntries(missing.map((key) => [key, firstValue(rule.slots[key], options, param)]))
  );
}

const needs = (slot: Slot, options: Options, param: tf.Variable): boolean =>
  slot.when?.(options, param) !== false;

const firstValue = (slot: Slot, options: Options, param: tf.Variable): tf.Tensor =>
  slot.initial?.(options, param) ?? tf.zerosLike(param);

/** A new tensor of the same values. */
function toTensor(value: tf.Tensor | HostTensor | number): tf.Tensor {
  if (typeof value === "number") return tf.scalar(value);
  return value instanceof tf.Tensor
    ? tf.clone(value)
    : tf.tensor(new Float32Array(value.data), [...value.shape], "float32");
}
