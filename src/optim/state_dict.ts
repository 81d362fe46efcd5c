/**
 * Reading saved optimizer state: everything is checked before anything is changed.
 *
 * The structure is torch's: `state` by index over the groups in order, and `param_groups`, whose
 * hyperparameters replace the present ones. Tensors may be device tensors or host arrays.
 */
import { CheckpointError, ConfigError, show, suggest } from "../core/errors.ts";
import { parseOptions } from "../core/options.ts";
import * as tf from "../tensor/tf.ts";
import type { OptimizerRule } from "./rule.ts";

/** Values and shape on the host. */
export interface HostTensor {
  readonly data: ArrayLike<number>;
  readonly shape: readonly number[];
}

/** torch's structure: state by index over the groups in order, and the groups. */
export interface OptimizerStateDict {
  state: Record<number, Record<string, tf.Tensor | number>>;
  param_groups: (Record<string, unknown> & { params: number[]; param_names: string[] })[];
}

/** What can be loaded: the same with host arrays, and without names. */
export interface SavedState {
  readonly state: Readonly<Record<string, Readonly<Record<string, SavedValue>>>>;
  readonly param_groups: readonly (Readonly<Record<string, unknown>> & {
    readonly params: readonly (number | string)[];
  })[];
}

/** A slot or a number of one parameter; null is torch's "not made yet". */
export type SavedValue = tf.Tensor | HostTensor | number | null;

/** A group as far as loading needs it. */
export interface StateTarget {
  readonly rule: OptimizerRule;
  readonly variables: ReadonlyMap<string, tf.Variable>;
}

/** Checked state, ready to take over. */
export interface LoadedState {
  /** The hyperparameters of each group. */
  readonly groups: Record<string, unknown>[];
  readonly parameters: Map<
    string,
    { numbers: Record<string, number>; slots: Map<string, tf.Tensor | HostTensor | number> }
  >;
  /** What all parameters of a rule share; absent: it starts anew. */
  readonly shared: Map<OptimizerRule, Record<string, tf.Tensor | HostTensor | number>>;
}

/** torch options that change how a step is computed there, not what it is. */
export const ignoredOptions: readonly string[] = [
  "foreach",
  "fused",
  "capturable",
  "differentiable",
];

/**
 * Checks `saved` against the groups.
 *
 * @param live Options of the groups that are taken as they are, whatever `saved` says of them.
 * @throws {CheckpointError} If it belongs to another optimizer: other groups, slots or shapes.
 */
export function readState(
  saved: SavedState,
  targets: readonly StateTarget[],
  live?: readonly Record<string, unknown>[],
): LoadedState {
  if (!isObject(saved) || !isObject(saved.state) || !Array.isArray(saved.param_groups)) {
    throw new CheckpointError("optimizer state: must hold state and param_groups");
  }
  if (saved.param_groups.length !== targets.length) {
    throw new CheckpointError(
      `optimizer state: must have ${targets.length} param_groups, received ${saved.param_groups.length}`,
    );
  }
  const loaded: LoadedState = { groups: [], parameters: new Map(), shared: new Map() };
  const indices = new Set<string>();
  targets.forEach(({ rule, variables }, i) => {
    const where = `optimizer state: param_groups[${i}]`;
    const group = saved.param_groups[i];
    if (!isObject(group) || !Array.isArray(group.params)) {
      throw new CheckpointError(`${where}: must be an object with params`);
    }
    if (group.params.length !== variables.size) {
      throw new CheckpointError(
        `${where}: must have ${variables.size} params, received ${group.params.length}`,
      );
    }
    const options = live?.[i] ?? readGroup(group, rule, where);
    loaded.groups.push(options);
    const shared = readShared(group, rule, where);
    if (shared !== undefined && !loaded.shared.has(rule)) loaded.shared.set(rule, shared);
    [...variables].forEach(([name, variable], j) => {
      const index = String(group.params[j]);
      indices.add(index);
      if (!Object.hasOwn(saved.state, index)) return;
      loaded.parameters.set(name, readParameter(saved.state[index], rule, options, variable, name));
    });
  });
  const stray = Object.keys(saved.state).find((index) => !indices.has(index));
  if (stray !== undefined) {
    throw new CheckpointError(`optimizer state: state.${stray} belongs to no parameter`);
  }
  return loaded;
}

/** The options of a saved group, checked; other plain values (`initial_lr`) are kept. */
function readGroup(
  group: Record<string, unknown>,
  rule: OptimizerRule,
  where: string,
): Record<string, unknown> {
  const known: Record<string, unknown> = {};
  const others: Record<string, unknown> = {};
  for (const key of Object.keys(group)) {
    if (key === "params" || key === "param_names" || key === "names") continue;
    if (ignoredOptions.includes(key) || key === "__proto__") continue;
    if (Object.hasOwn(rule.shared ?? {}, key)) continue;
    (Object.hasOwn(rule.options.shape, key) ? known : others)[key] = group[key];
  }
  try {
    return { ...parseOptions(rule.options, known, where, rule.name), ...others };
  } catch (error) {
    throw error instanceof ConfigError ? new CheckpointError(error.message) : error;
  }
}

/** The scalars of the group that its rule shares among parameters; undefined if it has none yet. */
function readShared(
  group: Record<string, unknown>,
  rule: OptimizerRule,
  where: string,
): Record<string, tf.Tensor | HostTensor | number> | undefined {
  const names = Object.keys(rule.shared ?? {});
  if (names.every((key) => group[key] === undefined)) return undefined;
  return Object.fromEntries(names.map((key) => {
    const value = group[key];
    const scalar = value instanceof tf.Tensor
      ? value.size === 1
      : isHostTensor(value)
      ? value.data.length === 1
      : typeof value === "number";
    if (!scalar) {
      throw new CheckpointError(`${where}.${key} must be a number, received ${show(value)}`);
    }
    return [key, value as tf.Tensor | HostTensor | number];
  }));
}

function readParameter(
  saved: Readonly<Record<string, SavedValue>>,
  rule: OptimizerRule,
  options: Record<string, unknown>,
  variable: tf.Variable,
  name: string,
): { numbers: Record<string, number>; slots: Map<string, tf.Tensor | HostTensor | number> } {
  const where = `optimizer state of '${name}'`;
  const numbers = { ...rule.numbers?.(options) };
  const slots = new Map<string, tf.Tensor | HostTensor | number>();
  const known = [...Object.keys(numbers), ...Object.keys(rule.slots)];
  for (const key of Object.keys(saved)) {
    const value = saved[key];
    if (!known.includes(key)) {
      throw new CheckpointError(
        `${where}: ${rule.name} keeps no ${show(key)}${suggest(key, known)}`,
      );
    }
    if (value === null) continue;
    if (Object.hasOwn(numbers, key)) numbers[key] = readNumber(value, `${where}: ${key}`);
    else slots.set(key, readSlot(value, rule, options, variable, key, where));
  }
  for (const key of known) {
    const optional = Object.hasOwn(rule.slots, key) && rule.slots[key].when !== undefined;
    if (!optional && !Object.hasOwn(saved, key)) {
      throw new CheckpointError(`${where}: ${key} is missing`);
    }
  }
  return { numbers, slots };
}

/** A number, or a host array of one number, as torch saves `step`. */
function readNumber(value: SavedValue, where: string): number {
  const number = isHostTensor(value) && value.data.length === 1 ? value.data[0] : value;
  if (typeof number !== "number" || !Number.isFinite(number)) {
    throw new CheckpointError(`${where} must be a finite number, received ${show(number)}`);
  }
  return number;
}

function readSlot(
  value: SavedValue,
  rule: OptimizerRule,
  options: Record<string, unknown>,
  variable: tf.Variable,
  key: string,
  where: string,
): tf.Tensor | HostTensor | number {
  const shape = tf.tidy(() => (rule.slots[key].initial?.(options, variable) ?? variable).shape);
  // `tolist()` of a tensor without axes.
  if (typeof value === "number" && shape.length === 0) return value;
  if (!(value instanceof tf.Tensor) && !isHostTensor(value)) {
    throw new CheckpointError(
      `${where}: ${key} must be a tensor or { data, shape }, received ${show(value)}`,
    );
  }
  const size = tf.util.sizeFromShape([...value.shape]);
  const held = value instanceof tf.Tensor ? value.size : value.data.length;
  if (!tf.util.arraysEqual([...value.shape], shape) || held !== size) {
    throw new CheckpointError(
      `${where}: ${key} must have shape [${shape}], received [${value.shape}]` +
        (held === size ? "" : ` with ${held} numbers`),
    );
  }
  return value;
}

function isHostTensor(value: unknown): value is HostTensor {
  return isObject(value) && Array.isArray(value.shape) && isObject(value.data) &&
    typeof (value.data as { length?: unknown }).length === "number";
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object";
}
