/**
 * A run's state as one set of tensors and one plain object, and back.
 *
 * Tensors: `model.<parameter or buffer>`, `optimizer.<parameter>/<slot>`, `callback.<name>.<key>`.
 * Random numbers and batch order are functions of the seed and the iteration, so integers suffice.
 */
import { type CheckpointState, MODEL_PREFIX } from "../checkpoint/checkpoint.ts";
import { decodeJson, encodeJson } from "../checkpoint/json.ts";
import { readTensors, toTensor } from "../checkpoint/tensors.ts";
import type { HostTensor } from "../checkpoint/safetensors.ts";
import { CheckpointError, oneLine, show } from "../core/errors.ts";
import { join } from "../core/options.ts";
import type { Model } from "../model/model.ts";
import type { HostTensor as StateTensor, Optimizer, OptimizerState } from "../optim/optimizer.ts";
import type { Scheduler } from "../schedule/scheduler.ts";
import type * as tf from "../tensor/tf.ts";
import type { Engine } from "./engine.ts";
import type { Hooks } from "./hooks.ts";
import type { MeterState, TrainMeters } from "./meters.ts";
import type { RunState } from "./state.ts";
import type { TrainingWeights } from "./training_weights.ts";

const OPTIMIZER_PREFIX = "optimizer.";

/** What a snapshot covers. */
export interface SnapshotParts {
  readonly model: Model;
  readonly optimizer: Optimizer;
  readonly engine: Pick<Engine, "pull" | "optimizerState">;
  readonly scheduler: Scheduler | undefined;
  readonly hooks: Hooks;
  readonly meters: TrainMeters;
  /** Those of the training, while the model holds others. */
  readonly aside: TrainingWeights | undefined;
  /** The part of the config that a resumed run must share. */
  readonly fingerprint: Record<string, unknown>;
  readonly numeric: Record<string, unknown>;
}

interface SnapshotMeta {
  state: RunState;
  fingerprint: Record<string, unknown>;
  numeric?: Record<string, unknown>;
  optimizer: OptimizerState["meta"];
  scheduler: Record<string, unknown> | null;
  meters: MeterState;
  callbacks: Record<string, Record<string, unknown>>;
}

/** Parameters and buffers under one set of names. */
export function modelTensors(model: Model): Record<string, tf.Variable> {
  return { ...model.parameters, ...model.buffers };
}

/** Reads everything that a resumed run needs. */
export async function takeSnapshot(
  { model, engine, scheduler, hooks, meters, aside, fingerprint, numeric }: SnapshotParts,
  state: RunState,
): Promise<CheckpointState> {
  engine.pull();
  const kept: Record<string, tf.Tensor>[] = [];
  const callbacks: SnapshotMeta["callbacks"] = {};
  for (const [name, { tensors = {}, meta = {} }] of hooks.states()) {
    kept.push(prefixed(`callback.${name}.`, tensors));
    callbacks[name] = copyOf(meta);
  }
  const rest = {
    state: structuredClone(state),
    fingerprint,
    numeric,
    scheduler: scheduler === undefined ? null : copyOf(scheduler.stateDict()),
    meters: meters.stateDict(),
    callbacks,
  };
  // All reads start before the first is awaited: they are of one instant.
  const [weights, optimizer, others] = await Promise.all([
    readTensors(prefixed(MODEL_PREFIX, aside?.tensors ?? modelTensors(model))),
    engine.optimizerState(),
    readTensors(Object.assign(Object.create(null), ...kept)),
  ]);
  const { groups } = optimizer.meta;
  const meta: SnapshotMeta = {
    ...rest,
    optimizer: { ...optimizer.meta, groups: aside?.trained(groups) ?? groups },
  };
  return {
    tensors: { ...weights, ...prefixed(OPTIMIZER_PREFIX, optimizer.tensors), ...others },
    meta: meta as unknown as Record<string, unknown>,
  };
}

/** Plain data as a file would hold it: what is written later is not what has become of it by then. */
function copyOf(data: Record<string, unknown>): Record<string, unknown> {
  return decodeJson(encodeJson(data)) as Record<string, unknown>;
}

function prefixed<T>(prefix: string, named: Record<string, T>): Record<string, T> {
  const out: Record<string, T> = Object.create(null);
  for (const name of Object.keys(named)) out[prefix + name] = named[name];
  return out;
}

/** The first parameter with a value that is not finite. */
export function nonFiniteParameter(
  { parameters }: Model,
  { tensors }: CheckpointState,
): string | undefined {
  return Object.keys(parameters).find((name) => {
    const data = tensors[`model.${name}`].data as Float32Array;
    let sum = 0;
    for (let i = 0; i < data.length; i++) sum += data[i] * 0;
    return sum !== 0;
  });
}

/** How a snapshot may differ from the run it is put into. */
export interface RestoreOptions {
  /** Paths of the fingerprint that may differ. */
  readonly allowChanged: readonly string[];
  /** Gets a line for each difference that is let pass. */
  readonly log: (line: string) => void;
}

/**
 * Puts a snapshot back; checks everything before the first value changes.
 *
 * @throws {CheckpointError} If it does not fit the run, or is not what a run of Downhill writes.
 */
export function restoreSnapshot(
  parts: SnapshotParts,
  snapshot: CheckpointState,
  source: string,
  options: RestoreOptions,
): RunState {
  try {
    return restore(parts, snapshot, source, options);
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    throw new CheckpointError(`${source}: cannot be restored: ${oneLine(error)}`, { cause: error });
  }
}

function restore(
  parts: SnapshotParts,
  snapshot: CheckpointState,
  source: string,
  { allowChanged, log }: RestoreOptions,
): RunState {
  const meta = snapshot.meta as unknown as SnapshotMeta;
  const { iteration, skipped } = meta.state;
  if (![iteration, skipped].every((count) => Number.isSafeInteger(count) && count >= 0)) {
    throw new CheckpointError(`${source}: state must have counts, received ${show(meta.state)}`);
  }
  for (
    const passed of refuseDifference(meta.fingerprint, parts.fingerprint, source, allowChanged)
  ) {
    log(passed);
  }
  const [mode, before, after] = meta.numeric === undefined
    ? []
    : firstDifference(meta.numeric, parts.numeric, "") ?? [];
  if (mode !== undefined) {
    log(`${source}: ${mode} was ${show(before)} and is ${show(after)}: the last digits may differ`);
  }
  const model = modelTensors(parts.model);
  const loaded = group(snapshot.tensors, MODEL_PREFIX);
  for (const name of Object.keys(model)) {
    const saved = loaded[name];
    if (saved === undefined) throw new CheckpointError(`${source}: lacks the tensor model.${name}`);
    if (saved.shape.join() !== model[name].shape.join()) {
      throw new CheckpointError(
        `${source}: model.${name} must have shape [${
          model[name].shape
        }], received [${saved.shape}]`,
      );
    }
  }
  parts.optimizer.importState({
    tensors: hostTensors(group(snapshot.tensors, OPTIMIZER_PREFIX)),
    meta: meta.optimizer,
  });
  if (meta.scheduler !== null) parts.scheduler?.loadStateDict(meta.scheduler);
  for (const name of Object.keys(model)) {
    const value = toTensor(loaded[name]);
    model[name].assign(value);
    value.dispose();
  }
  parts.meters.loadStateDict(meta.meters);
  for (const callback of parts.hooks.having("load")) {
    // One that the run did not have when it was saved begins afresh.
    if (!Object.hasOwn(meta.callbacks, callback.name)) continue;
    const kept = group(snapshot.tensors, `callback.${callback.name}.`);
    const tensors = Object.fromEntries(
      Object.entries(kept).map(([name, host]) => [name, toTensor(host)]),
    );
    callback.load({ tensors, meta: meta.callbacks[callback.name] });
  }
  return meta.state;
}

/** Optimizer state is float32 throughout. */
function hostTensors(tensors: Record<string, HostTensor>): Record<string, StateTensor> {
  const out: Record<string, StateTensor> = Object.create(null);
  for (const name of Object.keys(tensors)) {
    out[name] = { data: tensors[name].data as Float32Array, shape: tensors[name].shape };
  }
  return out;
}

function group<T>(tensors: Record<string, T>, prefix: string): Record<string, T> {
  const out: Record<string, T> = Object.create(null);
  for (const name of Object.keys(tensors)) {
    if (name.startsWith(prefix)) out[name.slice(prefix.length)] = tensors[name];
  }
  return out;
}

/**
 * Refuses what was saved with another fingerprint, naming the first difference with both values.
 * Differences at or under the paths of `allowed` pass; the answer has a line for each.
 */
export function refuseDifference(
  saved: unknown,
  now: unknown,
  source: string,
  allowed: readonly string[] = [],
): string[] {
  const lines: string[] = [];
  for (const [path, before, after] of differences(saved, now, "")) {
    const place = path.startsWith("contents.") ? "data" : "config";
    const what = `${source}: ${path} was ${show(before)} in the checkpoint and is ${
      show(after)
    } in the ${place}`;
    if (!allowed.some((prefix) => isUnder(path, prefix))) {
      throw new CheckpointError(
        `${what}; choose another name, checkpoint.resume "never" to start again, or ` +
          `checkpoint.allowChanged to go on all the same`,
      );
    }
    lines.push(`${what}: allowed`);
  }
  return lines;
}

function isUnder(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(`${prefix}.`) || path.startsWith(`${prefix}[`);
}

/** The first path at which two plain values differ, with both values. */
export function firstDifference(
  a: unknown,
  b: unknown,
  path: string,
): Difference | undefined {
  return differences(a, b, path).next().value ?? undefined;
}

type Difference = [path: string, before: unknown, after: unknown];

function* differences(a: unknown, b: unknown, path: string): Generator<Difference, undefined> {
  if (Object.is(a, b)) return;
  const nested = a !== null && b !== null && typeof a === "object" && typeof b === "object" &&
    Array.isArray(a) === Array.isArray(b);
  if (!nested) return void (yield [path, a, b]);
  const left = a as Record<string, unknown>, right = b as Record<string, unknown>;
  for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
    yield* differences(left[key], right[key], join(path, Array.isArray(a) ? Number(key) : key));
  }
}
