/** Optimizer state by parameter name, and its way to the form by index. */
import { CheckpointError, show, suggest } from "../core/errors.ts";
import * as tf from "../tensor/tf.ts";
import type { HostTensor, SavedState, SavedValue } from "./state_dict.ts";

/** The state as files keep it: tensors by `<parameter>/<slot>`, the rest as JSON. */
export interface OptimizerState {
  readonly tensors: Record<string, tf.Tensor>;
  readonly meta: OptimizerMeta;
}

/** The part of {@link OptimizerState} that is plain data. */
export interface OptimizerMeta {
  readonly iterations: number;
  readonly groups: (Record<string, unknown> & { names: string[] })[];
  /** By parameter, for example `{ "0.weight": { step: 10 } }`. */
  readonly numbers: Record<string, Record<string, number>>;
}

/** State to load by name; groups may be left out to keep the present hyperparameters. */
export interface ImportedState {
  readonly tensors: Readonly<Record<string, tf.Tensor | HostTensor>>;
  readonly meta: Readonly<
    Partial<OptimizerMeta> & { readonly numbers: Record<string, Record<string, number>> }
  >;
}

/**
 * State by name as state by index over `groups`.
 *
 * tfjs gives a loaded model's variables new names when the old ones are taken, so its form, which
 * has no groups, is read by order where it holds other names for as many parameters.
 *
 * @throws {CheckpointError} For an unknown name, or groups that hold other parameters.
 */
export function byIndex(
  { tensors, meta }: ImportedState,
  present: readonly ({ readonly names: string[] } & Record<string, unknown>)[],
): SavedState {
  const names = present.flatMap((group) => group.names);
  const state = new Map<string, Record<string, SavedValue>>();
  for (const name of Object.keys(meta.numbers)) state.set(name, { ...meta.numbers[name] });
  const shared: Record<string, SavedValue>[] = present.map(() => ({}));
  for (const key of Object.keys(tensors)) {
    const [name, slot] = splitKey(key);
    const group = sharedPrefix.exec(name);
    if (group !== null && !names.includes(name)) {
      (shared[Number(group[1])] ?? {})[slot] = tensors[key];
      continue;
    }
    state.set(name, { ...state.get(name), [slot]: tensors[key] });
  }
  const unknown = [...state.keys()].find((name) => !names.includes(name));
  const byOrder = meta.groups === undefined && state.size === names.length;
  if (unknown !== undefined && !byOrder) {
    throw new CheckpointError(
      `optimizer state: unknown parameter ${show(unknown)}${suggest(unknown, names)}`,
    );
  }
  const renamed = unknown === undefined
    ? state
    : new Map([...state.values()].map((value, i) => [names[i], value]));
  const groups = meta.groups ?? present;
  groups.forEach((group, i) => {
    const expected = present[i]?.names ?? [];
    if (group.names.length !== expected.length || group.names.some((n, j) => n !== expected[j])) {
      throw new CheckpointError(
        `optimizer state: group ${i} must hold ${show(expected)}, received ${show(group.names)}`,
      );
    }
  });
  return {
    state: Object.fromEntries(renamed),
    param_groups: groups.map((group, i) => ({ ...group, ...shared[i], params: group.names })),
  };
}

const sharedPrefix = /^param_groups\.(\d+)$/;

/** Whether `key` is one of {@link sharedKey}. */
export function isSharedKey(key: string): boolean {
  return sharedPrefix.test(splitKey(key)[0]);
}

/** The key of a scalar that a group's rule keeps for all parameters. */
export function sharedKey(group: number, key: string): string {
  return joinKey(`param_groups.${group}`, key);
}

/** `a/b`, `exp_avg` -> `a/b/exp_avg`. */
export function joinKey(parameter: string, slot: string): string {
  return `${parameter}/${slot}`;
}

/** `a/b/exp_avg` -> [`a/b`, `exp_avg`]. */
export function splitKey(key: string): [string, string] {
  const slash = key.lastIndexOf("/");
  return [key.slice(0, Math.max(slash, 0)), key.slice(slash + 1)];
}

/** A copy that outlives the tensors of `saved`. */
export function keepImported({ tensors, meta }: ImportedState): ImportedState {
  const copies = Object.entries(tensors).map(([name, value]) => [
    name,
    value instanceof tf.Tensor ? tf.keep(tf.clone(value)) : value,
  ]);
  return { tensors: Object.fromEntries(copies), meta };
}

/** Disposes what {@link keepImported} made. */
export function disposeImported(pending: ImportedState | undefined): void {
  for (const value of Object.values(pending?.tensors ?? {})) {
    if (value instanceof tf.Tensor) value.dispose();
  }
}
